"""The types of the contract: dataclasses that lose nothing on the way to the wire and back."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import re
from typing import Any, cast

import pytest
from google.protobuf import json_format, struct_pb2
from google.protobuf.descriptor import FieldDescriptor

from effect_plugin._descriptors import message_class
from effect_plugin._fields import is_map, is_optional, is_repeated
from mattermost_plugin import types
from mattermost_plugin._contract import contract_message
from mattermost_plugin._internal import wrappers
from mattermost_plugin.models import Model
from mattermost_plugin.servicers import hooks_servicer
from mattermost_plugin.types import (
    Channel,
    ChannelType,
    CommandResponse,
    ConfigJson,
    Dialog,
    DialogElement,
    Json,
    KeyValuePair,
    MessagesLimits,
    OAuthApp,
    Post,
    PostImage,
    PostList,
    PostMetadata,
    ProductLimits,
    Team,
    User,
    UserStatus,
)

from .answers import other_stubs

MODELS: list[type[Model]] = [
    kind for kind in vars(types).values() if isinstance(kind, type) and issubclass(kind, Model) and kind is not Model
]


def test_every_message_that_is_no_request_or_response_has_a_model() -> None:
    assert len(set(MODELS)) == 92
    assert vars(wrappers).keys() >= {kind.__name__ for kind in MODELS}
    assert wrappers.UserStatus is types.Status
    assert hooks_servicer.DISMISS_POST_ERROR.endswith("dismiss_post")


def filled(kind: Any, depth: int = 0) -> Any:
    """A message with something in every field, and nothing twice."""
    message = kind()
    for field in kind.DESCRIPTOR.fields:
        fill(message, field, depth)
    return message


def fill(message: Any, field: FieldDescriptor, depth: int) -> None:
    of: Any = field.message_type
    name = "" if of is None else of.full_name
    if name == "google.protobuf.Struct":
        getattr(message, field.name).update({"number": 3, "half": 0.5, "deep": [None, True, {"text": "t"}]})
    elif name == "google.protobuf.Value":
        getattr(message, field.name).string_value = "value"
    elif name.startswith("google.protobuf."):
        getattr(message, field.name).value = field.number
    elif is_map(field):
        value = of.fields_by_name["value"].message_type
        if value is None:
            getattr(message, field.name)["key"] = f"{field.name}"
        else:
            getattr(message, field.name)["key"].CopyFrom(filled(message_class(value), depth + 1))
    elif of is not None and depth > 2:
        # CommandResponse has more of itself.
        return
    elif of is not None:
        values = [filled(message_class(of), depth + 1)]
        getattr(message, field.name).extend(values) if is_repeated(field) else getattr(message, field.name).CopyFrom(
            values[0]
        )
    else:
        text = {field.TYPE_STRING: f"{field.name}é", field.TYPE_BYTES: b"\xff%d" % field.number}
        value = text.get(field.type, 1)
        getattr(message, field.name).extend([value, value]) if is_repeated(field) else setattr(
            message, field.name, value
        )


@pytest.mark.parametrize("kind", MODELS)
def test_nothing_is_lost(kind: type[Model]) -> None:
    message = filled(contract_message(kind.__name__))
    model = kind.from_proto(message)
    assert model.to_proto() == message and model == message
    assert kind(**{field.name: getattr(model, field.name) for field in dataclasses.fields(kind)}) == model
    assert kind.from_proto(contract_message(kind.__name__)()).to_proto().ByteSize() == 0
    for copied in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert copied == model and copied is not model


def test_messages_of_other_stubs_have_models_too() -> None:
    post = Post(id="1", metadata=PostMetadata(reactions=[types.Reaction("u", "1", "smile")]))
    assert Post.from_proto(other_stubs(post)) == post == Post.from_proto(other_stubs(post)).to_proto()
    with pytest.raises(TypeError, match="a Post is needed"):
        Post.from_proto(other_stubs(User()))


def test_fields_that_this_sdk_does_not_know_are_kept() -> None:
    message = contract_message("Post")()
    message.ParseFromString(contract_message("Post")(id="1").SerializeToString() + b"\xc2\x3e\x03new")
    post = Post.from_proto(message)
    post.message = "changed"
    post.id = ""
    sent = post.to_proto().SerializeToString()
    assert b"new" in sent and b"changed" in sent and not post.to_proto().id


def test_values_are_python_s() -> None:
    post = Post.from_proto(filled(contract_message("Post")))
    assert post.props == {"number": 3, "half": 0.5, "deep": [None, True, {"text": "t"}]}
    assert type(post.props["number"]) is int and type(post.props["half"]) is float
    assert post.metadata is not None and isinstance(post.metadata.images["key"], PostImage)
    assert isinstance(post.participants[0], User)
    assert not ProductLimits.from_proto(ProductLimits().to_proto()).messages, "no limit"
    assert ProductLimits(messages=MessagesLimits(history=0)).to_proto().messages.history.value == 0
    assert MessagesLimits.from_proto(MessagesLimits().to_proto()).history is None
    assert KeyValuePair(key="k", value=[1, {"a": None}]).to_proto().value.list_value.values[0].number_value == 1
    assert ConfigJson(config_json=Json({"a": 1})).config_json.json() == {"a": 1}
    assert OAuthApp(mattermost_app_id="m").to_proto().mattermostAppId == "m"


def test_what_is_unset_and_what_is_empty() -> None:
    empty = Post.from_proto(Post(remote_id="").to_proto())
    unset = Post.from_proto(Post().to_proto())
    assert (empty.remote_id, unset.remote_id, unset.is_following) == ("", None, None)
    optional = [field.name for field in Post.DESCRIPTOR.fields if is_optional(field)]
    assert sorted(optional) == ["is_following", "metadata", "remote_id"]
    assert Post(metadata=PostMetadata()).to_proto().HasField("metadata")


def test_a_message_that_is_not_set_reads_as_an_empty_one() -> None:
    post: Any = Post.from_proto(Post(id="p").to_proto())
    assert not post.metadata and post.metadata.embeds == [] and not post.metadata.priority.priority
    assert not post.HasField("metadata") and not dataclasses.replace(post, message="m").to_proto().HasField("metadata")
    assert post == Post(id="p") == copy.deepcopy(post)
    assert repr(post) == "Post(id='p')"
    post.metadata.priority.priority = "urgent"
    assert post.metadata and post.to_proto().metadata.priority.priority == "urgent"
    assert Post.from_proto(Post(metadata=PostMetadata()).to_proto()).HasField("metadata")  # type: ignore[attr-defined]
    assert types.TeamMemberWithError.from_proto(types.TeamMemberWithError().to_proto()).error is None


def test_where_a_model_is_from_is_none_of_its_fields() -> None:
    post = Post.from_proto(Post(id="p").to_proto())
    assert "_origin" not in dataclasses.asdict(post)
    assert "_origin" not in {field.name for field in dataclasses.fields(post)}
    assert Post.__match_args__[0] == "id"
    assert "_origin" not in repr(post)


def test_a_subclass_of_a_type_is_one_for_the_same_message() -> None:
    class Ticket(Post):
        @property
        def number(self) -> int:
            return int(self.message)

    assert Ticket(message="7").number == 7
    assert Ticket.from_proto(Ticket(message="7").to_proto()).number == 7
    assert type(PostList.from_proto(PostList(posts={"p": Ticket()}).to_proto()).posts["p"]) is Post


def test_types_of_the_published_sdk() -> None:
    assert wrappers.PluginInfo().manifest == {}
    assert Post("i", "c", "u", "m").message == "m"
    assert User("i", "name", "a@b").email == "a@b"
    assert (Channel("c").type, Team("t").type, types.Command().method) == ("O", "O", "P")
    assert (types.UserAccessToken("t").is_active, types.UploadSession().type) == (True, "attachment")
    assert types.BotGetOptions().per_page == 60
    assert UserStatus("u", "away").status == "away"
    changed = dataclasses.replace(Post(id="i", message="m", props={"a": 1}), message="other")
    assert (changed.id, changed.message, changed.props) == ("i", "other", {"a": 1})
    assert dataclasses.asdict(Dialog(elements=[DialogElement(name="n")]))["elements"][0]["name"] == "n"
    options: Any = [{"text": "t", "value": "v"}]
    assert DialogElement(options=options).to_proto().options[0].value == "v"
    assert PostList(posts={"p": Post(id="p")}).to_proto().posts["p"].id == "p"


def test_enums_are_letters_and_numbers() -> None:
    channel: Any = Channel.from_proto(contract_message("Channel")(type=3))
    assert channel.type == "D" == ChannelType.DIRECT and channel.type == 3 and channel.type != 2
    differs = [channel.type != other for other in (3, "D", ChannelType.DIRECT, 2, "O", ChannelType.OPEN)]
    assert differs == [False] * 3 + [True] * 3
    assert (int(channel.type), f"{channel.type}", [0, 1, 2, 3][cast("Any", channel.type)]) == (3, "D", 3)
    assert f"{channel.type}" == str(channel.type) == "D"
    assert {channel.type: 1}["D"] == 1
    assert Channel.from_proto(contract_message("Channel")()).type == ""
    assert Channel(type="G").to_proto().type == 4 == Channel(type=ChannelType.GROUP).to_proto().type
    tomorrow = Channel.from_proto(contract_message("Channel")(type=9))
    assert tomorrow.to_proto().type == 9


def test_code_written_for_protobufs_messages() -> None:
    post: Any = Post.from_proto(Post(id="1", message="m", props={"a": {"b": 2}}, file_ids=["f"]).to_proto())
    assert post.HasField("remote_id") is False and post.IsInitialized()
    assert [field.name for field, _ in post.ListFields()] == ["id", "message", "props", "file_ids"]
    assert json_format.MessageToDict(post)["fileIds"] == ["f"]
    assert json_format.MessageToDict(post.props) == {"a": {"b": 2}}
    assert post.props.fields["a"].struct_value.fields["b"].number_value == 2
    post.file_ids.append("g")
    del post.file_ids[:1]
    post.props.update({"c": 1})
    other: Any = type(post)()
    other.CopyFrom(post)
    assert other == post and other is not post and other.file_ids == ["g"] and other.props["c"] == 1
    other.ClearField("message")
    other.MergeFrom(Post(id="2"))
    assert (other.id, other.message) == ("2", "")
    assert Post.from_proto(contract_message("Post").FromString(post.SerializeToString())) == post
    struct = struct_pb2.Struct()
    struct.update({"a": 1})
    assert CommandResponse(props=struct).to_proto().props["a"] == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: cast("Any", Post)(mesage="m"), r"Post has no field 'mesage'; it has id, "),
        (lambda: cast("Any", Post)("i", id="i"), r"Post was given id twice"),
        (lambda: UserStatus(*cast("Any", range(9))), r"Status has 5 fields, 9 were given"),
        (lambda: Post(file_ids=cast("Any", "f")).to_proto(), r"can't take a str as file_ids: that is no list"),
        (
            lambda: Post(metadata=cast("Any", User())).to_proto(),
            r"can't take a User as metadata: a PostMetadata is needed",
        ),
        (lambda: Post(props={"a": object()}).to_proto(), r"can't take a dict as props"),
        (lambda: Post(create_at=cast("Any", "now")).to_proto(), r"can't take a str as create_at"),
    ],
)
def test_what_a_model_can_t_hold(wrong: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        wrong()


def test_a_field_that_is_not_there() -> None:
    args = types.CommandArgs(command="/hello")
    with pytest.raises(AttributeError, match=re.escape("CommandArgs has no field 'text'; it has user_id, channel_id")):
        args.text  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match="has no field 'comand'"):
        args.comand = "/x"  # type: ignore[attr-defined]
    assert repr(args) == "CommandArgs(command='/hello')"


def test_a_model_says_what_it_takes() -> None:
    shown = str(inspect.signature(Post))
    assert shown.startswith("(id: 'str' = '', ") and "props: 'dict[str, Any]' = {}" in shown, shown
    assert list(inspect.signature(Dialog).parameters) == [field.name for field in dataclasses.fields(Dialog)]


def test_what_is_read_when_it_is_asked_for() -> None:
    message = contract_message("Post")(id="p", message="m", file_ids=["f"], create_at=1)
    post: Any = Post.from_proto(message)
    assert Post.message == "" and not hasattr(Post, "file_ids"), "the class has the defaults of its fields"
    assert post.file_ids is post.file_ids == ["f"], "what is read is kept"
    post.file_ids.append("g")
    post.message = ""
    assert (list(post.to_proto().file_ids), post.to_proto().message, post.to_proto().create_at) == (["f", "g"], "", 1)
    assert list(message.file_ids) == ["f"] and message.message == "m", "what it was read from is as it was"
    assert Post(**vars(Post.from_proto(message))) == Post.from_proto(message)
    assert vars(post)["id"] == "p" and {*vars(post)} >= {field.name for field in dataclasses.fields(post)}
    with pytest.raises(AttributeError, match="massage"):
        _ = Post.from_proto(message).massage  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="massage"):
        post.massage = "a typo"


def test_a_field_that_is_set_while_another_thread_reads_it_stays_as_it_was_set() -> None:
    class Slow:
        """A message that takes so long to read that the field is set meanwhile."""

        @property
        def message(self) -> str:
            post.message = "set"
            return "read"

    post = Post._of(Slow())
    assert post.message == "set"
    assert post.message == "set"
