"""The server's files are what its messages say, and nobody's edits are lost."""

import inspect

import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from tf_sigma_vae.export import client, server_files

# Of tensorflow_serving/servables/tensorflow/session_bundle_config.proto, which no package has.
BATCHING_FIELDS = {
    "max_batch_size": (1, "Int64Value"),
    "batch_timeout_micros": (2, "Int64Value"),
    "max_enqueued_batches": (3, "Int64Value"),
    "num_batch_threads": (4, "Int64Value"),
    "thread_pool_name": (5, "StringValue"),
    "allowed_batch_sizes": (6, None),
    "pad_variable_length_inputs": (7, None),
    "enable_large_batch_splitting": (8, "BoolValue"),
    "max_execution_batch_size": (9, "Int64Value"),
}


def batching_parameters(text):
    """Parses text as the server does: an unknown field or a wrong type is an error."""
    file = descriptor_pb2.FileDescriptorProto(
        name="batching.proto", syntax="proto3", dependency=[wrappers_pb2.DESCRIPTOR.name]
    )
    message = file.message_type.add(name="BatchingParameters")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, (number, wrapper) in BATCHING_FIELDS.items():
        field = message.field.add(name=name, number=number, label=kinds.LABEL_OPTIONAL)
        if wrapper:
            field.type, field.type_name = kinds.TYPE_MESSAGE, f".google.protobuf.{wrapper}"
        elif name == "allowed_batch_sizes":
            field.type, field.label = kinds.TYPE_INT64, kinds.LABEL_REPEATED
        else:
            field.type = kinds.TYPE_BOOL
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    parsed = message_factory.GetMessageClass(pool.FindMessageTypeByName("BatchingParameters"))()
    return text_format.Parse(text, parsed)


def models(text):
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


def test_models_file_names_the_model_and_serves_the_newest_version():
    text = server_files.texts("digits_v1.0")["models.config"]
    (config,) = models(text).model_config_list.config
    assert (config.name, config.base_path) == ("digits_v1.0", "/models/digits_v1.0")
    assert config.model_platform == "tensorflow"
    assert config.model_version_policy.latest.num_versions == 1


def test_models_file_can_be_pinned_as_its_comment_says():
    text = server_files.texts("digits")["models.config"]
    assert "specific { versions: 3 }" in text
    text = text.replace("latest { num_versions: 1 }", "specific { versions: 3 }")
    (config,) = models(text).model_config_list.config
    assert list(config.model_version_policy.specific.versions) == [3]


def test_batching_file_bounds_batch_wait_and_queue():
    found = batching_parameters(server_files.texts("digits")["batching.config"])
    assert found.max_batch_size.value == server_files.MAX_BATCH_SIZE
    assert 0 < found.batch_timeout_micros.value <= 10_000
    assert 0 < found.max_enqueued_batches.value < 100
    assert not found.pad_variable_length_inputs and not found.allowed_batch_sizes
    # The server's own default is its number of cores, which the exporting machine cannot know.
    assert not found.HasField("num_batch_threads")


def test_threads_can_be_set_as_the_comment_says():
    text = server_files.texts("digits")["batching.config"]
    text = text.replace("# num_batch_threads", "num_batch_threads")
    assert batching_parameters(text).num_batch_threads.value == 4


def test_client_sends_no_larger_request_than_a_batching_server_takes():
    default = inspect.signature(client.Client).parameters["max_batch_size"].default
    assert default == server_files.MAX_BATCH_SIZE


def test_batching_parameters_are_parsed_strictly():
    with pytest.raises(text_format.ParseError, match="max_batch_sizes"):
        batching_parameters("max_batch_sizes { value: 3 }")


def test_files_are_written_once_and_again_after_they_were_removed(tmp_path):
    assert server_files.write(str(tmp_path), "digits") == []
    expected = server_files.texts("digits")
    assert {p.name: p.read_text("utf-8") for p in tmp_path.iterdir()} == expected
    (tmp_path / "models.config").unlink()
    assert server_files.write(str(tmp_path), "digits") == []
    assert {p.name: p.read_text("utf-8") for p in tmp_path.iterdir()} == expected


def test_edited_file_is_left_alone_and_reported(tmp_path):
    edited = tmp_path / "batching.config"
    edited.write_bytes(b"max_batch_size { value: 8 } # \xff")
    assert server_files.write(str(tmp_path), "digits") == [str(edited)]
    assert edited.read_bytes() == b"max_batch_size { value: 8 } # \xff"
    assert (tmp_path / "models.config").exists()


def test_file_for_another_name_counts_as_edited(tmp_path):
    server_files.write(str(tmp_path), "digits")
    both = [str(tmp_path / name) for name in server_files.texts("digits")]
    assert server_files.write(str(tmp_path), "letters") == both


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "a:b", 'a"b', "a\n", "é"])
def test_name_that_is_no_part_of_a_path_and_an_address_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="the name of the model is"):
        server_files.write(str(tmp_path), name)
    assert list(tmp_path.iterdir()) == []


def test_name_is_that_of_the_models_file_then_that_of_the_folder(tmp_path):
    assert server_files.chosen_name(str(tmp_path / "digits"), None) == "digits"
    assert server_files.chosen_name(str(tmp_path), "given") == "given"
    server_files.write(str(tmp_path), "served")
    assert server_files.chosen_name(str(tmp_path), None) == "served"
    assert server_files.chosen_name(str(tmp_path), "served") == "served"
    with pytest.raises(ValueError, match="name is 'other', but .* serves the model as 'served'"):
        server_files.chosen_name(str(tmp_path), "other")


def test_models_file_of_ones_own_that_names_nothing_leaves_the_choice(tmp_path):
    (tmp_path / server_files.MODELS_FILE).write_text("# empty", encoding="utf-8")
    assert server_files.chosen_name(str(tmp_path), "given") == "given"
