from __future__ import annotations

import numpy as np
import pytest

from sparse_data.datasets import DownloadError
from sparse_data.datasets.kuairand import CONVERSIONS, fetch_kuairand

pytest.importorskip("pyarrow")

LOG = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_view,"
    "play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab\n"
)
USERS = (
    'user_id,user_active_degree,follow_user_num_range,onehot_feat4\n0,full_active,"(0,10]",\n1,UNKNOWN,0,3\n'
)
VIDEOS = (
    "video_id,author_id,video_type,video_duration,tag\n"
    '7,70,NORMAL,,"12,65"\n'
    "5,50,AD,17200.0,\n"
    "6,60,NORMAL,1.0,8\n"
)


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "KuaiRand-Pure" / "data"
    data.mkdir(parents=True)
    first = "0,5,20220408,1905,1649417151301,1,1,0,0,0,0,1,9000,9000,0,0,0,0,1\n"
    first += "1,7,20220408,2300,1649417151302,0,1,0,0,0,0,0,100,9000,0,0,0,0,4\n"
    second = "1,5,20220422,0,1650585600000,1,0,1,0,0,0,0,8000,9000,0,0,0,0,1\n"
    (data / "log_standard_4_08_to_4_21_pure.csv").write_text(LOG + first)
    (data / "log_standard_4_22_to_5_08_pure.csv").write_text(LOG + second)
    (data / "user_features_pure.csv").write_text(USERS)
    (data / "video_features_basic_pure.csv").write_text(VIDEOS)
    return tmp_path


def test_standard(folder):
    shown = fetch_kuairand(data_home=folder)
    columns = shown.columns
    assert shown.clicks.tolist() == [1, 0, 1]
    assert shown.conversions.tolist() == [1, 0, 0]
    assert shown.group.tolist() == columns["user_id"].tolist() == [0, 1, 1]
    assert columns["hour"].tolist() == [19, 23, 0]
    assert columns["tab"].tolist() == [1, 4, 1]
    assert columns["user_active_degree"].tolist() == ["full_active", "UNKNOWN", "UNKNOWN"]
    assert columns["follow_user_num_range"].tolist() == ["(0,10]", "0", "0"]
    assert columns["author_id"].tolist() == [50, 70, 50]
    np.testing.assert_array_equal(columns["video_duration"], [17200, np.nan, 17200])
    assert [bag.tolist() for bag in columns["tag"]] == [[], ["12", "65"], []]
    # Nothing that came after the impression is a feature.
    assert not {"play_time_ms", "is_like", "long_view", "is_hate", "is_click"} & set(columns)


def test_conversion_needs_a_click(folder):
    # The second row has a like without a click.
    assert fetch_kuairand(conversion="is_like", data_home=folder).conversions.tolist() == [1, 0, 0]
    assert fetch_kuairand(conversion="is_follow", data_home=folder).conversions.tolist() == [0, 0, 1]
    for name in CONVERSIONS:
        fetch_kuairand("standard_first", conversion=name, data_home=folder)


def test_one_tag_a_video(folder):
    path = folder / "KuaiRand-Pure" / "data" / "video_features_basic_pure.csv"
    path.write_text("video_id,tag\n7,12\n5,\n")
    tags = fetch_kuairand("standard_second", data_home=folder).columns["tag"]
    assert [bag.tolist() for bag in tags] == [[]]
    path.write_text("video_id,tag\n7,12\n5,65\n")
    tags = fetch_kuairand("standard_first", data_home=folder).columns["tag"]
    assert [bag.tolist() for bag in tags] == [["65"], ["12"]]


def test_refused(folder):
    data = folder / "KuaiRand-Pure" / "data"
    with pytest.raises(DownloadError, match=r"log_random.*KuaiRand-Pure\.tar\.gz from https://zenodo"):
        fetch_kuairand("random", data_home=folder)
    with pytest.raises(ValueError, match="`log` must be one of"):
        fetch_kuairand("all", data_home=folder)
    with pytest.raises(ValueError, match="`conversion` must be one of 'long_view'"):
        fetch_kuairand(conversion="is_hate", data_home=folder)
    (data / "user_features_pure.csv").write_text(USERS.replace("\n1,", "\n2,"))
    with pytest.raises(
        ValueError, match=r"user_features_pure\.csv: `user_id` must hold all ids of the log; got none for"
    ):
        fetch_kuairand(data_home=folder)
    (data / "user_features_pure.csv").write_text(USERS.replace("\n1,", "\n0,"))
    with pytest.raises(ValueError, match=r"user_features_pure\.csv: `user_id` must hold each id once"):
        fetch_kuairand(data_home=folder)
    (data / "log_standard_4_08_to_4_21_pure.csv").write_text("user_id,video_id\n1,2\n")
    with pytest.raises(ValueError, match=r"4_21_pure\.csv: it must have the column 'hourmin'"):
        fetch_kuairand(data_home=folder)
