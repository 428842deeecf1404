"""Fetching against a server on this machine; nothing here touches the internet."""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
import socket

import numpy as np
import pytest

from mfvjax.fetch import SOURCES, fetch, networks
from mfvjax.fetch.definitions import write_definition
from mfvjax.fetch.download import DownloadError, download
from mfvjax.fetch.sources import ALIASES, CLASS_NAMES, RemoteFile, Source, find_source
from mfvjax.fetch.verify import WrongHashError, verify
from mfvjax.network import Network
from tests.caffe_writer import Layer, layer_bytes
from tests.loopback import serve
from tests.small_caffe import DEFINITION, write_small_caffe
from weights_convert.plan import plan_network
from weights_convert.prototxt import read_prototxt

CONTENT = np.random.default_rng(0).bytes(3_000_000)
NAMES = b"n01440764 ant\nn01443537 bee\nn01484850 cat\ndog\nemu\nfly\n"


def sha1(content):
    return hashlib.sha1(content).hexdigest()


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serve({"/net.caffemodel": CONTENT}) as running:
        yield running


@pytest.fixture
def remote(site):
    return RemoteFile("net.caffemodel", (f"{site.address}/net.caffemodel",), sha1(CONTENT))


@pytest.fixture
def get(remote, tmp_path):
    """Downloads `remote`, or a changed copy of it, into ``tmp_path/new``."""

    def run(*, attempts=3, progress=lambda received, total: None, **changes):
        file, note = download(
            dataclasses.replace(remote, **changes),
            tmp_path / "new",
            tmp_path / "trusted.json",
            attempts=attempts,
            pause=0,
            progress=progress,
        )
        assert file == tmp_path / "new" / "net.caffemodel"
        assert os.listdir(file.parent) == ["net.caffemodel"]
        return file.read_bytes(), note

    return run


def test_a_complete_download_is_reported_and_not_repeated(get, site):
    told = []
    assert get(progress=lambda *counts: told.append(counts)) == (CONTENT, None)
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [a for a, _ in told] == sorted(a for a, _ in told)
    assert get() == (CONTENT, None)
    assert len(site.requests) == 1


def test_a_download_cut_in_the_middle_goes_on_where_it_stopped(get, site):
    site.cuts = [1_200_000, 900_000]
    assert get()[0] == CONTENT
    assert [asked for _, asked, _ in site.requests] == [None, "bytes=1200000-", "bytes=2100000-"]
    assert [version for *_, version in site.requests] == [None, '"one"', '"one"']
    assert site.sent == len(CONTENT)  # nothing twice


def test_a_later_call_goes_on_too(get, site, tmp_path):
    site.cuts = [1_200_000]
    with pytest.raises(DownloadError, match="closed after 1200000 of 3000000 bytes"):
        get(attempts=1)
    assert (tmp_path / "new" / "net.caffemodel.part").stat().st_size == 1_200_000
    told = []
    assert get(attempts=1, progress=lambda *counts: told.append(counts))[0] == CONTENT
    assert told[0] == (1_200_000, len(CONTENT))
    assert site.sent == len(CONTENT)


def test_a_download_killed_before_it_got_its_name_is_only_verified(get, site, tmp_path):
    site.cuts = [1]
    with pytest.raises(DownloadError):
        get(attempts=1)
    (tmp_path / "new" / "net.caffemodel.part").write_bytes(CONTENT)
    site.sent = 0
    assert get()[0] == CONTENT
    assert site.sent == 0


def test_a_part_longer_than_the_file_is_thrown_away(get, site, tmp_path):
    site.cuts = [1]
    with pytest.raises(DownloadError):
        get(attempts=1)
    (tmp_path / "new" / "net.caffemodel.part").write_bytes(CONTENT + b"more")
    assert get()[0] == CONTENT


def test_a_server_without_ranges_is_asked_for_all_of_it(get, site):
    site.ranges, site.cuts = False, [1_200_000]
    assert get()[0] == CONTENT
    assert site.sent == len(CONTENT) + 1_200_000


def test_a_file_that_changed_in_between_is_started_anew(get, site):
    site.cuts = [1_200_000]
    with pytest.raises(DownloadError):
        get(attempts=1)
    other = bytes(reversed(CONTENT))
    site.files["/net.caffemodel"], site.tag = other, '"two"'
    assert get(sha1=sha1(other))[0] == other


@pytest.mark.parametrize("tag", [None, 'W/"weak"'])
def test_without_a_mark_only_a_known_hash_lets_a_download_go_on(get, site, tag):
    site.tag, site.cuts = tag, [1_200_000]
    assert get()[0] == CONTENT
    assert site.requests[1][1:] == ("bytes=1200000-", None)


def test_without_mark_and_hash_it_is_started_anew(get, site):
    site.tag, site.cuts = None, [1_200_000]
    assert get(sha1=None)[0] == CONTENT
    assert site.requests[1][1] is None


def test_a_server_that_answers_another_range_is_not_believed(get, site):
    site.cuts, site.lies = [1_200_000], 7
    with pytest.raises(
        DownloadError, match="asked for bytes from 1200000 on, was sent 'bytes 1200007-"
    ):
        get(attempts=2)


def test_an_unknown_length_is_reported_as_such(get, site):
    site.sends_length = False
    told = []
    assert get(progress=lambda *counts: told.append(counts))[0] == CONTENT
    assert told[-1] == (len(CONTENT), None)


def test_wrong_contents_are_deleted(get, tmp_path):
    with pytest.raises(
        WrongHashError, match=rf"SHA-1 of net.caffemodel is {'0' * 40}, not .*delet"
    ):
        get(sha1="0" * 40)
    assert os.listdir(tmp_path / "new") == []


def test_a_file_damaged_since_is_fetched_again(get, site, tmp_path):
    get()
    (tmp_path / "new" / "net.caffemodel").write_bytes(b"damaged")
    assert get()[0] == CONTENT


def test_a_missing_file_is_asked_for_once_per_address(get, site):
    addresses = tuple(f"{site.address}/{name}" for name in ("gone", "lost"))
    with pytest.raises(DownloadError, match=r"/gone: 404 Not Found; .*/lost: 404 Not Found"):
        get(addresses=addresses)
    assert len(site.requests) == 2


def test_the_next_address_is_tried(get, site):
    addresses = (f"{site.address}/gone", f"{site.address}/net.caffemodel")
    assert get(addresses=addresses)[0] == CONTENT


def test_a_server_in_trouble_is_asked_again(get, site):
    site.statuses = [503, 500]
    assert get()[0] == CONTENT
    site.statuses = [503] * 3
    with pytest.raises(DownloadError, match="503 Service Unavailable"):
        get(sha1="f" * 40)


def test_a_silent_server_counts_as_broken(remote, tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/net.caffemodel"
        with pytest.raises(DownloadError, match="timed out"):
            download(
                dataclasses.replace(remote, addresses=(address,)),
                tmp_path,
                tmp_path / "trusted.json",
                attempts=1,
                timeout=0.2,
            )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_full_disk_is_named_and_leaves_the_rest_for_later(get, tmp_path):
    folder = tmp_path / "new"
    folder.mkdir()
    part = folder / "net.caffemodel.part"
    part.symlink_to("/dev/full")
    with pytest.raises(DownloadError, match=r"no space left in .*new: .*MFVJAX_CACHE"):
        get()
    part.unlink()
    assert get()[0] == CONTENT


def test_a_folder_that_cannot_be_written_is_no_network_problem(get, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "net.caffemodel.part").mkdir()
    with pytest.raises(IsADirectoryError):
        get()


def test_the_first_file_without_a_published_hash_is_trusted(get, site, remote, tmp_path):
    note = get(sha1=None)[1]
    found = hashlib.sha256(CONTENT).hexdigest()
    assert re.search(
        f"nobody has published a hash of net.caffemodel; recorded SHA-256 {found}", note
    )
    assert json.loads((tmp_path / "trusted.json").read_text()) == {remote.addresses[0]: found}
    assert get(sha1=None)[1] is None
    site.files["/net.caffemodel"] = b"something else"
    (tmp_path / "new" / "net.caffemodel").unlink()
    with pytest.raises(WrongHashError, match=r"recorded in .*trusted\.json is"):
        get(sha1=None)


# Whole networks


@pytest.fixture
def tiny(site, tmp_path, monkeypatch):
    """A published network "tiny" on the loopback server, with an empty cache."""
    folder = tmp_path / "caffe"
    folder.mkdir()
    prototxt, weights = write_small_caffe(folder)
    helper = Layer("loss1/fc", "InnerProduct", [np.zeros((2, 2), np.float32)])
    weights.write_bytes(weights.read_bytes() + layer_bytes(helper, form="V2", old_shape=False))
    for file in (prototxt, weights):
        site.files[f"/{file.name}"] = file.read_bytes()
    site.files["/synset_words.txt"] = NAMES

    def published(file, hashed=True):
        hash_of_it = sha1(site.files[f"/{file}"]) if hashed else None
        return RemoteFile(file, (f"{site.address}/{file}",), hash_of_it)

    source = Source(
        "tiny", "a tiny one", published(weights.name), published(prototxt.name), ("loss1/*",)
    )
    monkeypatch.setitem(SOURCES, "tiny", source)
    monkeypatch.setattr(networks, "CLASS_NAMES", published("synset_words.txt", hashed=False))
    monkeypatch.setenv("MFVJAX_CACHE", str(tmp_path / "cache"))
    return source


def test_a_fetched_network_is_verified_converted_and_loads_by_name(tiny, site, tmp_path):
    fetched = fetch("tiny")
    assert fetched.path == tmp_path / "cache" / "tiny.safetensors"
    assert len(fetched.notes) == 1
    assert "nobody has published a hash of synset_words.txt" in fetched.notes[0]
    network = Network.load("tiny")
    assert (network.name, network.class_name(0), network.class_name(3)) == ("tiny", "ant", "dog")
    assert sorted(os.listdir(tmp_path / "cache")) == [
        "downloads",
        "tiny.safetensors",
        "trusted.json",
    ]
    assert os.listdir(tmp_path / "cache" / "downloads") == []
    asked = len(site.requests)
    assert fetch("tiny") == networks.Fetched(fetched.path)
    assert len(site.requests) == asked
    assert fetch("tiny", force=True).notes == ()
    assert len(site.requests) == asked + 3


def test_files_on_this_disk_need_no_connection(tiny, site, tmp_path):
    names = tmp_path / "names.txt"
    names.write_bytes(NAMES.replace(b"ant", b"ape"))
    folder = tmp_path / "caffe"
    fetched = fetch(
        "tiny",
        weights=folder / "small.caffemodel",
        definition=folder / "deploy.prototxt",
        class_names=names,
    )
    assert site.requests == []
    assert fetched.notes == ()
    assert Network.load("tiny").class_name(0) == "ape"
    assert (folder / "small.caffemodel").exists()


def test_a_given_file_that_is_not_the_published_one_is_refused_and_kept(tiny, tmp_path):
    other = tmp_path / "other.caffemodel"
    other.write_bytes(b"another network")
    with pytest.raises(WrongHashError, match=r"not the right file.*mfvjax convert"):
        fetch("tiny", weights=other)
    assert other.exists()
    with pytest.raises(FileNotFoundError, match=r"no file .*nowhere"):
        fetch("tiny", weights=tmp_path / "nowhere")


def test_without_class_names_a_network_is_fetched_all_the_same(tiny, site):
    del site.files["/synset_words.txt"]
    (note,) = fetch("tiny").notes
    assert re.search("no class names: .*404.*give them with --class-names FILE", note)
    assert Network.load("tiny").class_names is None


def test_offline_the_message_says_how_to_supply_the_file(tiny, monkeypatch):
    gone = RemoteFile("net.caffemodel", ("http://127.0.0.1:9/net.caffemodel",), "0" * 40)
    monkeypatch.setitem(SOURCES, "tiny", dataclasses.replace(tiny, weights=gone))
    with pytest.raises(
        DownloadError,
        match=r"refused.*get net.caffemodel from http://127.0.0.1:9/net.caffemodel .* and run "
        r"`mfvjax fetch tiny --from FILE`",
    ):
        fetch("tiny", pause=0)
    monkeypatch.setitem(SOURCES, "tiny", dataclasses.replace(tiny, definition=gone))
    with pytest.raises(DownloadError, match="fetch tiny --prototxt FILE"):
        fetch("tiny", pause=0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_full_disk_does_not_advise_to_fetch_elsewhere(tiny, tmp_path):
    folder = tmp_path / "cache" / "downloads" / "tiny"
    folder.mkdir(parents=True)
    (folder / "small.caffemodel.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="no space left") as caught:
        fetch("tiny")
    assert "Without a connection" not in str(caught.value)


def test_a_conversion_that_fails_leaves_no_network_behind(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(SOURCES, "tiny", dataclasses.replace(tiny, ignore_layers=()))
    with pytest.raises(ValueError, match="loss1/fc"):
        fetch("tiny")
    assert not [name for name in os.listdir(tmp_path / "cache") if "safetensors" in name]
    assert not list((tmp_path / "cache").glob(".convert-*"))


def test_networks_whose_definition_is_known_need_only_weights(tiny, monkeypatch):
    monkeypatch.setitem(SOURCES, "tiny", dataclasses.replace(tiny, definition=None))
    with pytest.raises(
        ValueError, match="no built-in definition of 'tiny', only caffenet and alex"
    ):
        fetch("tiny")
    monkeypatch.setattr(networks, "write_definition", lambda name: DEFINITION)
    fetch("tiny")
    assert Network.load("tiny").name == "tiny"


def test_an_unknown_network_says_which_there_are():
    with pytest.raises(
        ValueError, match="no published network 'vgg'; known: caffenet, alexnet, goo"
    ):
        fetch("vgg")


def test_the_table_of_sources_is_well_formed():
    assert list(SOURCES) == [
        "caffenet",
        "alexnet",
        "googlenet",
        "squeezenet_v1.1",
        "squeezenet_v1.0",
    ]
    assert find_source("squeezenet") is SOURCES["squeezenet_v1.1"]
    assert set(ALIASES.values()) <= set(SOURCES)
    for source in SOURCES.values():
        for remote in filter(None, (source.weights, source.definition)):
            assert re.fullmatch("[0-9a-f]{40}", remote.sha1)
            for address in remote.addresses:
                assert address.startswith(("https://", "http://dl.caffe.berkeleyvision.org/"))
                assert address.endswith(remote.name)
    assert CLASS_NAMES.sha1 is None


def test_the_published_definition_has_its_published_hash(data_dir, tmp_path):
    file = data_dir / "models" / "bvlc_googlenet" / "deploy.prototxt"
    assert verify(SOURCES["googlenet"].definition, file, tmp_path / "trusted.json") is None


@pytest.mark.parametrize(
    ("name", "folder"), [("caffenet", "bvlc_reference_caffenet"), ("alexnet", "bvlc_alexnet")]
)
def test_our_own_definitions_are_the_published_ones(name, folder, data_dir, tmp_path):
    ours = tmp_path / "deploy.prototxt"
    ours.write_text(write_definition(name))
    theirs = data_dir / "models" / folder / "deploy.prototxt"
    graphs = [plan_network(read_prototxt(file)).graph for file in (ours, theirs)]
    summaries = [
        (
            graph.input_shape,
            graph.blob_shapes(),
            [(layer.op, layer.inputs, layer.outputs) for layer in graph.layers],
            graph.parameter_shapes(),
        )
        for graph in graphs
    ]
    assert summaries[0] == summaries[1]


def test_paths_may_be_text(tiny, tmp_path):
    folder = tmp_path / "caffe"
    path = fetch("tiny", weights=str(folder / "small.caffemodel")).path
    assert isinstance(path, pathlib.Path)
