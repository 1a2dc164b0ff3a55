"""Readers of synthetic sets that other projects published."""

from __future__ import annotations

from limbeck import hookimpl
from limbeck.hookspecs import Register


@hookimpl
def register_importers(register: Register) -> None:
    """Offer the formats of the field's released sets."""
    register(
        "dc",
        "limbeck_plugins.importers.dc:DCImporter",
        summary="DC, DSA and DM: one .pt file with a list of experiments",
        paper="arXiv:2006.05929",
    )
    register(
        "datadam",
        "limbeck_plugins.importers.datadam:DataDAMImporter",
        summary="DataDAM: the same list, for networks with batch norm",
        paper="arXiv:2310.00093",
    )
    register(
        "mtt",
        "limbeck_plugins.importers.mtt:MTTImporter",
        summary="MTT and TESLA: images_N.pt, labels_N.pt and the learned rate",
        paper="arXiv:2203.11932",
    )
    register(
        "png",
        "limbeck_plugins.importers.png:PNGImporter",
        summary="a folder of PNG files, with the manifest of 'limbeck convert --to png' or in class folders",
    )
