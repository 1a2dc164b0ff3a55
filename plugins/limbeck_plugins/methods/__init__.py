"""Published methods, one YAML file each: components, settings per data set and ipc, published figures."""

from __future__ import annotations

from limbeck import hookimpl
from limbeck.hookspecs import Register

METHODS = {
    "dc": ("gradient matching along inner training", "arXiv:2006.05929"),
    "dsa": ("gradient matching with siamese augmentation", "arXiv:2102.08259"),
    "dm": ("distribution matching in random embeddings", "arXiv:2110.04181"),
    "dcc": ("gradient matching of all classes together", "arXiv:2202.02916"),
    "dsac": ("DCC with siamese augmentation", "arXiv:2202.02916"),
    "datadam": ("attention matching in random networks", "arXiv:2310.00093"),
    "fyi_dc": ("DC with mirror images", "arXiv:2407.08113"),
    "fyi_dsa": ("DSA with mirror images", "arXiv:2407.08113"),
    "fyi_dm": ("DM with mirror images", "arXiv:2407.08113"),
    "idc": ("gradient matching of four images in one, on networks trained on real data", "arXiv:2205.14959"),
    "ncfm": ("characteristic functions through pretrained networks", "arXiv:2502.20653"),
    "mtt": ("trajectory matching, differentiated exactly", "arXiv:2203.11932"),
    "tesla": ("trajectory matching by a truncated gradient", "arXiv:2211.10586"),
    "fyi_mtt": ("trajectory matching with mirror images", "arXiv:2407.08113"),
    "datm": ("trajectory matching along flat experts, with learned soft labels", "arXiv:2310.05773"),
    "herding": ("coreset: images whose mean is the class mean", "arXiv:1611.07725"),
    "k_center": ("coreset: images that leave none far away", "arXiv:1708.00489"),
    "k_means": ("coreset: images at the centres of clusters", "arXiv:2207.09639"),
    "forgetting": ("coreset: images that are forgotten most", "arXiv:1812.05159"),
    "rded": ("crops that an observer finds easiest, labelled by a teacher", "arXiv:2312.03526"),
    "random": ("random real images, the baseline", ""),
}


@hookimpl
def register_methods(register: Register) -> None:
    """Offer the methods that ship with Limbeck."""
    for name, (summary, paper) in METHODS.items():
        register(name, f"limbeck_plugins.methods:{name}.yaml", summary=summary, paper=paper)
