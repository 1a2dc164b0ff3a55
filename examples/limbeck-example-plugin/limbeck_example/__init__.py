"""What this plugin offers. Limbeck imports this module at every start: strings only, nothing heavy."""

from __future__ import annotations

from limbeck.hookspecs import Register, hookimpl


@hookimpl
def register_matchers(register: Register) -> None:
    """Offer a matcher; ``limbeck distill --matcher moments`` starts from the settings of the method dm."""
    register(
        "moments",
        "limbeck_example.matcher:Moments",
        summary="difference of the mean and the variance of each embedding coordinate",
        method="dm",
    )


@hookimpl
def register_label_projectors(register: Register) -> None:
    """Offer a label projector."""
    register(
        "smooth",
        "limbeck_example.labels:SmoothLabels",
        summary="stored labels, mixed with the uniform distribution",
        paper="arXiv:1512.00567",
    )


@hookimpl
def register_applications(register: Register) -> None:
    """Offer an application, and name the module that declares its own kind of component."""
    register(
        "example_measures",
        "limbeck_example.application",
        summary="measure the images of a synthetic set, class by class",
        hookspecs="limbeck_example.hookspecs",
    )


@hookimpl
def register_commands(register: Register) -> None:
    """Offer the application's command."""
    register(
        "example-measure",
        "limbeck_example.application:measure",
        summary="measure the images of a synthetic set, class by class",
    )


@hookimpl
def register_image_measures(register: Register) -> None:
    """Fill the application's own kind, as any other plugin may."""
    register("brightness", "limbeck_example.measures:Brightness", summary="mean of an image's pixels")
    register("contrast", "limbeck_example.measures:Contrast", summary="spread of an image's pixels")


@hookimpl
def register_continual_strategies(register: Register) -> None:
    """Fill a kind that Limbeck's continual application declares."""
    register("mean_image", "limbeck_example.mean_image:MeanImage", summary="the class whose mean image is nearest")


@hookimpl
def register_continual_benchmarks(register: Register) -> None:
    """Fill another of its kinds."""
    register("rotated_digits", "limbeck_example.rotated:RotatedDigits", summary="digits, turned in each experience")


@hookimpl
def register_nas_spaces(register: Register) -> None:
    """Fill a kind that Limbeck's application for architecture search declares."""
    register("pyramids", "limbeck_example.pyramids:Pyramids", summary="ConvNets that become wider from block to block")


@hookimpl
def register_nas_proxies(register: Register) -> None:
    """Fill another of its kinds."""
    register(
        "separation",
        "limbeck_example.separation:Separation",
        summary="how far fresh networks separate the classes of a few images",
    )
