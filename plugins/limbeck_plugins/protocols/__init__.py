"""Evaluation protocols."""

from __future__ import annotations

from limbeck import hookimpl
from limbeck.hookspecs import Register


@hookimpl
def register_protocols(register: Register) -> None:
    """Offer the procedures that papers of the field report."""
    register(
        "dc",
        "limbeck_plugins.protocols.dc:DCProtocol",
        summary="SGD for 300 epochs (1000 with augmentation), learning rate / 10 half way, last epoch",
        paper="arXiv:2006.05929",
    )
    register(
        "mtt",
        "limbeck_plugins.protocols.mtt:MTTProtocol",
        summary="SGD for 1000 epochs with DSA at the learning rate learned with the set; last and best pass",
        paper="arXiv:2203.11932",
    )
    register(
        "dcbench",
        "limbeck_plugins.protocols.dcbench:DCBenchProtocol",
        summary="SGD or Adam for 300 epochs (1000 with augmentation: DSA or a torchvision policy), last epoch",
        paper="arXiv:2207.09639",
    )
    register(
        "soft-kd",
        "limbeck_plugins.protocols.soft_kd:SoftLabelProtocol",
        summary="AdamW for 300 epochs, cosine, KL against a teacher or stored soft labels; last and best pass",
        paper="arXiv:2306.13092",
    )
    register(
        "rded",
        "limbeck_plugins.protocols.rded:RDEDProtocol",
        summary="AdamW for 300 epochs on CutMix, half of a cosine, KL against a teacher; last pass and late best",
        paper="arXiv:2312.03526",
    )
    register(
        "idc",
        "limbeck_plugins.protocols.idc:IDCProtocol",
        summary="SGD for 1000 epochs in batches of 64, DSA then CutMix, learning rate / 5 twice; last and best pass",
        paper="arXiv:2205.14959",
    )
    register(
        "ncfm",
        "limbeck_plugins.protocols.ncfm:NCFMProtocol",
        summary="AdamW for 2000 epochs on CutMix after DSA, halved learning rates; last and best pass",
        paper="arXiv:2502.20653",
    )
