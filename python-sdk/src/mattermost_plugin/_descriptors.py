"""The messages and services of Mattermost's contract."""

from effect_plugin._descriptors import Descriptors

#: Hosts store what they are given as JSON, and protobuf's own classes are what plugins knew before there were models.
DESCRIPTORS = Descriptors.of_package(
    f"{__package__}._generated",
    models=f"{__package__}._generated.models",
    json_bytes=True,
    json_numbers=True,
    unset_is_empty=True,
)
