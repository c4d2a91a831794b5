"""The messages of the contract that handlers are given and may return, and that the host API takes and answers."""

from ._generated.mattermost.pluginapi.v1.api_bot_pb2 import *  # noqa: F403
from ._generated.mattermost.pluginapi.v1.api_channel_pb2 import *  # noqa: F403
from ._generated.mattermost.pluginapi.v1.api_command_pb2 import *  # noqa: F403
from ._generated.mattermost.pluginapi.v1.api_integration_pb2 import *  # noqa: F403
from ._generated.mattermost.pluginapi.v1.api_kv_pb2 import *  # noqa: F403
from ._generated.mattermost.pluginapi.v1.api_preference_pb2 import *  # noqa: F403
from ._generated.mattermost.pluginapi.v1.api_session_pb2 import *  # noqa: F403
from ._generated.mattermost.pluginapi.v1.api_team_pb2 import *  # noqa: F403
from ._generated.mattermost.pluginapi.v1.api_user_pb2 import *  # noqa: F403
from ._generated.mattermost.pluginapi.v1.channel_pb2 import *  # noqa: F403
from ._generated.mattermost.pluginapi.v1.common_pb2 import *  # noqa: F403
from ._generated.mattermost.pluginapi.v1.file_pb2 import *  # noqa: F403
from ._generated.mattermost.pluginapi.v1.hooks_common_pb2 import *  # noqa: F403
from ._generated.mattermost.pluginapi.v1.hooks_message_pb2 import *  # noqa: F403
from ._generated.mattermost.pluginapi.v1.post_pb2 import *  # noqa: F403
from ._generated.mattermost.pluginapi.v1.team_pb2 import *  # noqa: F403
from ._generated.mattermost.pluginapi.v1.user_pb2 import *  # noqa: F403
