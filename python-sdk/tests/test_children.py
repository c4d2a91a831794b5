"""What a plugin starts: forked children, spawned ones, and programs."""

from __future__ import annotations

import sys
import textwrap
from typing import Any

import pytest

from mattermost_plugin._contract import contract_message

from .conftest import StartPlugin

pytestmark = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="there is no fork here")

BOTH_PROTOCOLS = True


def in_activate(body: str) -> str:
    """A plugin that does something in OnActivate, and then logs "still here" for as long as it is asked."""
    return f"""
    import multiprocessing, signal

    class P(Plugin):
        @hook(HookName.OnActivate)
        def activate(self):
{textwrap.indent(textwrap.dedent(body), " " * 12)}

        @hook(HookName.OnConfigurationChange)
        def changed(self):
            self.logger.info("still here")

    if __name__ == "__main__":
        run_plugin(P)
    """


FORKS = {
    "a process of multiprocessing's": """
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
        child.start()
        time.sleep(0.1)
        child.terminate()
        child.join()
        self.logger.info("it ended with %s", child.exitcode)
    """,
    "a pool": """
        with multiprocessing.get_context("fork").Pool(2) as pool:
            answer = pool.map(abs, [-7, -8])
        pool.join()
        self.logger.info("it ended with %s", -signal.SIGTERM if answer == [7, 8] else answer)
    """,
    "os.fork": """
        child = os.fork()
        if child == 0:
            time.sleep(600)
        time.sleep(0.1)
        os.kill(child, signal.SIGTERM)
        status = os.waitpid(child, 0)[1]
        self.logger.info("it ended with %s", -os.WTERMSIG(status))
    """,
    "os.fork, interrupted": """
        child = os.fork()
        if child == 0:
            try:
                time.sleep(600)
            except KeyboardInterrupt:
                os._exit(3)
        time.sleep(0.5)
        os.kill(child, signal.SIGINT)
        status = os.waitpid(child, 0)[1]
        self.logger.info("it ended with %s", -signal.SIGTERM if os.WEXITSTATUS(status) == 3 else status)
    """,
}


@pytest.mark.parametrize("body", FORKS.values(), ids=FORKS)
def test_a_forked_child_has_signals_of_its_own(start_plugin: StartPlugin, body: str) -> None:
    plugin = start_plugin(in_activate(body))
    plugin.call("OnActivate")
    plugin.wait_for_log("it ended with -15")
    plugin.call("OnConfigurationChange")
    plugin.wait_for_log("still here")
    plugin.shut_down()
    assert plugin.wait() == 0, plugin.log()


def test_a_signal_that_comes_to_a_forked_child_at_once_is_its_own(start_plugin: StartPlugin) -> None:
    source = in_activate("""
        child = os.fork()
        if child == 0:
            time.sleep(600)
        status = os.waitpid(child, 0)[1]
        self.logger.info("it ended with %s", -os.WTERMSIG(status))
    """)
    # What was registered first is called first, before the child has forgotten the plugin's signals.
    early = "    os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), 15))\n"
    plugin = start_plugin(early + source)
    plugin.call("OnActivate")
    plugin.wait_for_log("it ended with -15")
    plugin.call("OnConfigurationChange")
    plugin.shut_down()
    assert plugin.wait() == 0, plugin.log()


def test_a_forked_child_can_t_call_the_host_and_is_told_so(start_plugin: StartPlugin, host_api: Any) -> None:
    response = contract_message("GetServerVersionResponse")
    target = host_api({"GetServerVersion": lambda _: response(version="1.2.3")})
    source = in_activate("""
        self.logger.info("the host is %s", self.api.get_server_version())
        child = os.fork()
        if child == 0:
            try:
                self.api.get_server_version()
            except RuntimeError as error:
                self.logger.info("the child is told: %s", error)
            os._exit(0)
        os.waitpid(child, 0)
    """)
    plugin = start_plugin(source, MATTERMOST_PLUGIN_API_TARGET=target)
    plugin.call("OnActivate")
    log = plugin.wait_for_log("the child is told")
    assert "get_server_version() can't be called in a forked child" in log and "spawn" in log


def test_programs_are_no_plugins(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(
        in_activate("""
        code = "import mattermost_plugin.types, signal; print(6 * 7, signal.getsignal(signal.SIGINT).__name__)"
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        self.logger.info("it prints %s", done.stdout)
    """)
    )
    plugin.call("OnActivate")
    assert "it prints 42 default_int_handler" in plugin.wait_for_log("it prints")


def test_a_spawned_process_of_multiprocessing_s(start_plugin: StartPlugin) -> None:
    plugin = start_plugin(
        in_activate("""
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            self.logger.info("it answers %s", pool.apply(abs, (-7,)))
    """)
    )
    plugin.call("OnActivate")
    plugin.wait_for_log("it answers 7")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no groups of processes here")
def test_the_interrupt_of_a_terminal_is_not_for_the_plugin(start_plugin: StartPlugin) -> None:
    import os
    import signal

    plugin = start_plugin(in_activate("pass"))
    os.killpg(plugin.process.pid, signal.SIGINT)
    plugin.call("OnConfigurationChange")
    plugin.wait_for_log("still here")
