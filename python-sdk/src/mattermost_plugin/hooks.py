"""Which hooks there are, and how a plugin says that a method handles one."""

from effect_plugin._hooks import HookRegistrationError

from ._generated.hooks import HookName, hook

__all__ = ["DISMISS_POST_ERROR", "HookName", "HookRegistrationError", "hook"]

#: The reason with which `MessageWillBePosted` drops a post without telling its author.
DISMISS_POST_ERROR = "plugin.message_will_be_posted.dismiss_post"
