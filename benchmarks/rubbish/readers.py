"""All readers of untrusted input, each with its rubbish."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from benchmarks.rubbish import of_data, of_records, of_texts, of_weights
from benchmarks.rubbish.attempts import Reader
from benchmarks.rubbish.mutations import damaged, distorted, json_files, misspelled
from hpo import space as spaces


def _files(seeds: Callable[[], list[bytes]]) -> st.SearchStrategy[bytes]:
    return st.deferred(lambda: damaged(seeds()))


def _json(document: Callable[[], Any]) -> st.SearchStrategy[bytes]:
    return st.deferred(lambda: json_files(document()))


def _spaces() -> st.SearchStrategy[Any]:
    return distorted(spaces.to_document(of_texts.shipped_space()))


_NAMES = ("hidden", "dropout", "epochs", "learning_rate", "loss", "batch_norm", "layers")
_SETTINGS = ("64-64", "[0.1,0.2]", "0.5", "true", "bce,mse")

READERS = {
    "space files": Reader(_files(of_texts.space_seeds), of_texts.read_space, 12_000),
    "recorded spaces": Reader(st.deferred(_spaces), of_records.read_record, 4_000),
    "settings": Reader(
        st.tuples(misspelled(_SETTINGS), st.one_of(st.sampled_from(_NAMES), misspelled(_NAMES))),
        of_texts.read_settings,
        6_000,
    ),
    "npy files": Reader(_files(of_data.npy_seeds), of_data.read_npy, 11_000),
    "npz archives": Reader(_files(of_data.npz_seeds), of_data.read_npz, 11_000),
    "images": Reader(_files(of_data.image_seeds), of_data.read_image, 16_000),
    "torch files": Reader(_files(of_weights.torch_seeds), of_weights.read_weights, 10_000),
    "safetensors": Reader(_files(of_weights.safetensors_seeds), of_weights.read_weights, 6_000),
    "exported folders": Reader(_json(of_weights.config), of_weights.read_exported, 5_000),
    "run store": Reader(_json(of_records.run), of_records.read_run, 9_000),
    "cache": Reader(_files(of_records.cache_seeds), of_records.read_cached, 2_000),
    "databases": Reader(_files(of_records.database_seeds), of_records.read_database, 1_000),
    "storage URLs": Reader(
        misspelled([*of_texts.URLS, *of_texts.PLACES]), of_texts.read_url, 3_000
    ),
    "passwords": Reader(of_texts.secret_urls(), of_texts.read_secret, 2_000),
    "study names": Reader(misspelled(["grid-1", "CON", "..", "a.b"]), of_texts.read_name, 2_000),
}
