"""Tables of NAS-Bench-201: what full training of its cells gave, as a CSV file that the user exports.

The benchmark's own files are pickles of several gigabytes, which Limbeck does not open: reading one runs whatever it
holds. Its own library (``nats_bench``, MIT) writes the table in a few lines; a table has one data set::

    import csv
    from nats_bench import create

    api = create(PATH, "tss", fast_mode=True, verbose=False)
    with open("nb201-cifar10.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["architecture", "validation", "test", "seconds"])
        for index, name in enumerate(api):
            valid = api.get_more_info(index, "cifar10-valid", hp="200", is_random=False)
            test = api.get_more_info(index, "cifar10", hp="200", is_random=False)
            accuracies = valid["valid-accuracy"] / 100, test["test-accuracy"] / 100
            table.writerow([name, *accuracies, test["train-all-time"]])

That is the mean over the seeds from which the benchmark trained a cell, which are one, two or three; the number of a
seed in place of ``False`` gives that seed, where there is one, for a column ``seed``.
"""

from __future__ import annotations

import csv
from pathlib import Path

from limbeck.errors import DataError, UsageError
from limbeck_applications.nas.space import SearchSpace
from limbeck_applications.nas.truth import Truth, read_truth


def read(path: Path, space: SearchSpace) -> Truth:
    """Read a table.

    Args:
        path: of the CSV file, in the columns of ``limbeck_applications.nas.truth``; a column ``dataset`` may say
            what the cells were trained on, once and the same for all.
        space: whose names it must have.

    Raises:
        UsageError: there is no such file.
        DataError: it is of another format, has a name that is none of the space, or several data sets.
    """
    _of_one_data_set(path)
    truth = read_truth(path)
    for row in truth.rows:
        try:
            space.find(row.architecture)
        except UsageError as error:
            raise DataError(f"{path} is no table of {space.name}: {error}") from None
    return truth


def _of_one_data_set(path: Path) -> None:
    """Refuse a table in which the same cell stands once for each data set; what else is wrong is said by others."""
    try:
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    except (OSError, UnicodeDecodeError):
        return
    found = sorted({(row.get("dataset") or "").strip() for row in csv.DictReader(lines)})
    if len(found) > 1:
        raise DataError(
            f"{path} holds results on {len(found)} data sets ({', '.join(found[:4])}): give a table of one, "
            "with the lines whose column 'dataset' says it."
        )
