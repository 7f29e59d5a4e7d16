"""Ali-CCP in its raw format: impressions of Taobao joined to the features of their users, block by block."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sparse_data.checks import check_count, check_one_of
from sparse_data.datasets.byte_tokens import PAD, line_block, line_blocks
from sparse_data.datasets.columns import Column
from sparse_data.datasets.common_features import CommonFeatures, read_common_features, single_values
from sparse_data.datasets.download import VARIABLE, DownloadError, find_data_home
from sparse_data.datasets.feature_lists import FeatureLists, parse_feature_lists
from sparse_data.datasets.impressions import Impressions
from sparse_data.type_checks import check_names, check_path

FOLDER = "ali-ccp"
PAGE = "https://tianchi.aliyun.com/dataset/408"
SINGLE_VALUED = (
    "101",  # user
    "121",  # profile
    "122",  # group
    "124",  # gender
    "125",  # age
    "126",  # consumption level I
    "127",  # consumption level II
    "128",  # occupation
    "129",  # geography
    "205",  # item
    "206",  # category
    "207",  # shop
    "216",  # brand
    "301",  # position
)
MULTI_VALUED = (
    "109_14",  # categories of the user's past
    "110_14",  # shops
    "127_14",  # brands
    "150_14",  # intentions
    "210",  # intentions of the item
    "508",  # 109_14 with 206
    "509",  # 110_14 with 207
    "702",  # 127_14 with 216
    "853",  # 150_14 with 210
)


class AliCCP:
    """One half (train or test) of Ali-CCP, read in blocks: iterate over it as often as needed.

    The features of users are held in memory, an int32 id and a float32 number each; the impressions are read
    from the file block by block. Rows with a conversion but no click are errors of the data; they are
    dropped and counted.

    Parameters
    ----------
    skeleton : path
        ``sample_skeleton_train.csv`` or ``sample_skeleton_test.csv``.
    common : path or CommonFeatures
        ``common_features_train.csv`` or ``common_features_test.csv``, or what `read_common_features` read.
    fields : sequence of str, default=SINGLE_VALUED + MULTI_VALUED
        Columns of the impressions. Without the long histories of users (109_14, 110_14, 127_14, 150_14) all
        is many times smaller and faster.
    single_valued : collection of str, default=SINGLE_VALUED
        Fields of which a row has at most one value. They become int64 columns, -1 where a row has none; all
        other fields become Bags with the numbers of the file as weights.
    block_bytes : int, default=8388608
        Size of a block of the skeleton: about 30,000 rows.

    Attributes
    ----------
    common : CommonFeatures
    n_dropped : int
        Rows dropped by the latest iteration over all blocks.

    Raises
    ------
    FileNotFoundError
        If there is no such file of common features; at reading, of impressions.
    ValueError
        At reading, if a line is cut short, has another number of entries than it says, an id is not a
        number, or the index of a row is not in the common file. The message names file and line.

    References
    ----------
    X. Ma et al. Entire Space Multi-Task Model. SIGIR 2018, arXiv:1804.07931.
    """

    def __init__(
        self,
        skeleton: str | os.PathLike[str],
        common: str | os.PathLike[str] | CommonFeatures,
        *,
        fields: Collection[str] = SINGLE_VALUED + MULTI_VALUED,
        single_valued: Collection[str] = SINGLE_VALUED,
        block_bytes: int = 1 << 23,
    ) -> None:
        self.skeleton = check_path("skeleton", skeleton)
        self.fields = check_names("fields", fields)
        self.single_valued = frozenset(check_names("single_valued", single_valued))
        self.block_bytes = check_count("block_bytes", block_bytes)
        self.n_dropped = 0
        if isinstance(common, CommonFeatures):
            self.common = common
        else:
            path = check_path("common", common)
            self.common = read_common_features(path, fields=self.fields, single_valued=self.single_valued)

    def __iter__(self) -> Iterator[Impressions]:
        n_dropped, line = 0, 1
        for block in line_blocks(self.skeleton, block_bytes=self.block_bytes):
            shown, n_lines = self._parse(block, line)
            line += n_lines
            n_dropped += n_lines - len(shown)
            yield shown
        self.n_dropped = n_dropped

    @property
    def block_lengths(self) -> NDArray[np.int64]:
        """Number of impressions of each block, found by a first pass over the file, shape (n_blocks,)."""
        return self._blocks[2]

    def read_block(self, place: int) -> Impressions:
        """Return the impressions of one block."""
        starts, lines, _ = self._blocks
        place = check_count("place", place, 0, maximum=len(starts) - 2)
        block = line_block(self.skeleton, start=int(starts[place]), stop=int(starts[place + 1]))
        return self._parse(block, int(lines[place]))[0]

    @cached_property
    def _blocks(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return where blocks start in the file (and where the last ends), their first lines and lengths."""
        starts, lines, lengths = [0], [1], []
        for block in line_blocks(self.skeleton, block_bytes=self.block_bytes):
            parsed = self._lines(block, lines[-1])
            clicks, conversions = parsed.label(1), parsed.label(2)
            starts.append(starts[-1] + len(block) - PAD)
            lines.append(lines[-1] + len(parsed))
            lengths.append(int((conversions <= clicks).sum()))
        return np.array(starts), np.array(lines), np.array(lengths)

    def _parse(self, block: NDArray[np.uint8], first_line: int) -> tuple[Impressions, int]:
        """Return the impressions of a block and its number of lines."""
        parsed = self._lines(block, first_line)
        users = self.common.rows_of(parsed, column=3)
        clicks, conversions = parsed.label(1), parsed.label(2)
        kept = conversions <= clicks
        columns = {field: self._column(field, parsed, users) for field in self.fields}
        shown = Impressions(columns, clicks, conversions)
        return (shown if kept.all() else shown.take(kept)), len(parsed)

    def _lines(self, block: NDArray[np.uint8], first_line: int) -> FeatureLists:
        return parse_feature_lists(block, n_heads=5, path=str(self.skeleton), first_line=first_line)

    def _column(self, field: str, parsed: FeatureLists, users: NDArray[np.int64]) -> Column:
        of_users = self.common.columns.get(field)
        if of_users is None:
            own = parsed.bags(field)
            return single_values(field, own, parsed) if field in self.single_valued else own
        if field in parsed.fields:
            line = parsed.lines[parsed.fields[field][0]]
            told = f"field {field} must be in one of the two files; got it in {self.common.path} as well"
            parsed.fail(line, told)
        return of_users[users]


def fetch_ali_ccp(
    split: Literal["train", "test"] = "train",
    *,
    data_home: str | os.PathLike[str] | None = None,
    fields: Collection[str] = SINGLE_VALUED + MULTI_VALUED,
    block_bytes: int = 1 << 23,
) -> AliCCP:
    """Return one half of Ali-CCP (Alibaba Click and Conversion Prediction): 84 million impressions in all.

    The data may be used for research and not be passed on (terms of Tianchi), and need a login there: they
    cannot be downloaded for you.

    Parameters
    ----------
    split : {"train", "test"}, default="train"
        The first and the second half in time.
    data_home : path, optional
        Folder of all data sets; $SPARSELABELS_DATA or a per-user cache when None. The files
        sample_skeleton_<split>.csv and common_features_<split>.csv lie in ``ali-ccp`` below it.
    fields, block_bytes
        As in `AliCCP`.

    Returns
    -------
    AliCCP

    Raises
    ------
    DownloadError
        If a file is absent.
    """
    check_one_of("split", split, ("train", "test"))
    home = find_data_home(data_home) / FOLDER
    paths = [home / f"{kind}_{split}.csv" for kind in ("sample_skeleton", "common_features")]
    for path in paths:
        if not path.is_file():
            raise DownloadError(
                f"`{path.name}` must be in the cache; got no file {path}. Log in at {PAGE}, download the "
                f"archive of the {split} half, unpack it and put {path.name} there, or set {VARIABLE} to the "
                f"folder that holds {FOLDER}/{path.name}."
            )
    return AliCCP(paths[0], paths[1], fields=fields, block_bytes=block_bytes)
