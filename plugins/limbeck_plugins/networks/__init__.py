"""Network families."""

from __future__ import annotations

from limbeck.hookspecs import Register, hookimpl

FAMILIES = {
    "alexnet": ("alexnet:AlexNet", "five convolutions, one linear layer; alexnet-bn", "Krizhevsky et al. 2012"),
    "convnet": (
        "convnet:ConvNet",
        "blocks of convolution, norm, activation and pooling; variants such as convnet-d3-w128-in",
        "arXiv:2006.05929",
    ),
    "lenet": ("lenet:LeNet", "two convolutions, three linear layers", "LeCun et al. 1998"),
    "mlp": ("mlp:MLP", "two hidden layers of 128 units; variants such as mlp-d3-w64", "arXiv:2006.05929"),
    "resnet18": ("resnet:ResNet18", "eight residual blocks; resnet18-bn, -ap, -bn-ap", "arXiv:1512.03385"),
    "vgg11": ("vgg:VGG11", "eight convolutions, one linear layer; vgg11-bn", "arXiv:1409.1556"),
    "vgg13": ("vgg:VGG13", "ten convolutions, one linear layer; vgg13-bn", "arXiv:1409.1556"),
    "vgg16": ("vgg:VGG16", "thirteen convolutions, one linear layer; vgg16-bn", "arXiv:1409.1556"),
    "vgg19": ("vgg:VGG19", "sixteen convolutions, one linear layer; vgg19-bn", "arXiv:1409.1556"),
    "vit": ("vit:ViT", "patches of 4x4 through a small transformer; variants such as vit-d3-w128", "arXiv:2010.11929"),
}
"""Where each family is, what it is, and where it was published."""


@hookimpl
def register_networks(register: Register) -> None:
    """Offer the families that ship with Limbeck, and those of libraries that are installed."""
    for name, (target, summary, paper) in FAMILIES.items():
        register(name, f"limbeck_plugins.networks.{target}", summary=summary, paper=paper)
    register(
        "timm",
        "limbeck_plugins.networks.timm_models:Timm",
        summary="the classifiers of timm, untrained, by their names there: timm-resnet18",
        extra="timm",
    )
    register(
        "torchvision",
        "limbeck_plugins.networks.torchvision_models:Torchvision",
        summary="the classifiers of torchvision, untrained, by their names there: torchvision-resnet18",
    )
