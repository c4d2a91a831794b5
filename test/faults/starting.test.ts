/** Plugins that die, hang or lie before they are active. */
import { fails, kinds, peer, python, sh, starts } from "./support.ts"

const soon = { startTimeout: "300 millis" } as const
const impatient = { hooks: { deadline: "300 millis" } } as const
const NEVER = "sleep 600"

/** Prints something on its stdout, and stays. */
const prints = (text: string) => sh(`printf '${text}'; ${NEVER}`)
/** Prints a handshake of these fields, and stays. */
const says = (...fields: ReadonlyArray<string>) => prints(`${fields.join("|")}\\n`)

kinds("a plugin that dies before it is active:", {
  "exits with 0 and says nothing": fails(sh("exit 0"), "HandshakeError", [
    /it ended before its handshake \(exit code 0\)/,
    /served nothing; it has to call run_plugin/,
  ]),
  "exits with 1 and a traceback": fails(
    sh(`echo 'Traceback (most recent call last):\nValueError: no such thing' >&2; exit 1`),
    "HandshakeError",
    [/exit code 1/, /the end of its stderr:\n {2}Traceback.*\n {2}ValueError: no such thing/],
  ),
  "can't run what it is for (126)": fails(sh("exec ./plugin.json"), "HandshakeError", [
    /exit code 126/,
    /ermission denied/,
    /mode: 0755/,
  ]),
  "does not find what it is for (127)": fails(sh("exec no-such-program"), "HandshakeError", [
    /exit code 127/,
    /no-such-program: not found/,
  ]),
  "is killed by SIGSEGV": fails(sh("kill -s SEGV $$"), "HandshakeError", [/before its handshake \(signal SIGSEGV\)/]),
  "is killed by SIGKILL": fails(sh("kill -s KILL $$"), "HandshakeError", [/before its handshake \(signal SIGKILL\)/]),
  "is killed by SIGABRT": fails(sh("kill -s ABRT $$"), "HandshakeError", [/before its handshake \(signal SIGABRT\)/]),
  "exits right after its handshake": fails(
    sh('echo "1|1|unix|$PLUGIN_UNIX_SOCKET_DIR/x|grpc"; exit 3'),
    "HandshakeError",
    [/printed its handshake, but its health check failed/, /exit code 3/],
  ),
  "leaves a child that holds its pipes": fails(
    sh(`sh -c '${NEVER}; :' "$0" & echo 'bad luck' >&2; exit 9`),
    "HandshakeError",
    [/exit code 9/, /bad luck/],
  ),
  "exits in Implemented": fails(peer("exits in Implemented"), "PluginExitedError", [/exit code 4/, /Implemented/]),
  "exits in OnConfigurationChange": fails(peer("exits in OnConfigurationChange"), "PluginExitedError", [/exit code 5/]),
  "exits in OnActivate": fails(peer("exits in OnActivate"), "PluginExitedError", [/exit code 6/, /OnActivate/]),
  "crashes in OnActivate": fails(peer("crashes in OnActivate"), "PluginExitedError", [/signal SIGSEGV/, /OnActivate/]),
  "is killed in OnActivate": fails(peer("is killed in OnActivate"), "PluginExitedError", [/signal SIGKILL/]),
})

const inPython = (body: string) =>
  python(`
import ctypes, os, sys
from mattermost_plugin import HookName, Plugin, hook, run_plugin

class Hostile(Plugin):
    @hook(HookName.OnActivate)
    def activate(self):
        ${body}

run_plugin(Hostile)
`)

kinds("a Python plugin that", {
  "does not find a module": fails(python("import no_such_module"), "HandshakeError", [
    /exit code 1/,
    /No module named 'no_such_module'/,
  ]),
  "is no Python": fails(python("this is no Python"), "HandshakeError", [/exit code 1/, /SyntaxError/]),
  "recurses without end": fails(python("def f(): f()\nf()"), "HandshakeError", [/exit code 1/, /RecursionError/]),
  "wants more memory than there is": fails(python("x = bytearray(1 << 60)"), "HandshakeError", [/MemoryError/]),
  "never calls run_plugin": fails(python("import mattermost_plugin"), "HandshakeError", [/has to call run_plugin/]),
  "raises in OnActivate": fails(inPython("raise ValueError('no license')"), "HookPluginError", [
    /OnActivate.*no license/,
  ]),
  "calls sys.exit in OnActivate": fails(inPython("sys.exit(3)"), "HookPluginError", [
    /OnActivate.*the handler called sys\.exit\(3\)/,
  ]),
  "exits in OnActivate": fails(inPython("os._exit(3)"), "PluginExitedError", [/exit code 3/, /OnActivate/]),
  "crashes in OnActivate": fails(inPython("ctypes.string_at(0)"), "PluginExitedError", [
    /signal SIGSEGV/,
    /OnActivate/,
  ]),
})

kinds("a plugin that hangs before it is active:", {
  "prints no handshake": fails(sh(NEVER), "HandshakeError", [/printed no handshake within 300ms/], soon),
  "prints half a handshake": fails(prints("1|1|unix|"), "HandshakeError", [/printed no handshake/], soon),
  "prints its handshake on its stderr": fails(
    sh(`echo '1|1|unix|/x|grpc' >&2; ${NEVER}`),
    "HandshakeError",
    [/printed no handshake/, /the end of its stderr:\n {2}1\|1\|unix/],
    { startTimeout: "2 seconds" },
  ),
  "listens nowhere": fails(sh(`echo "1|1|unix|$PLUGIN_UNIX_SOCKET_DIR/x|grpc"; ${NEVER}`), "HandshakeError", [
    /its health check failed/,
  ]),
  "closes its listener": fails(peer("closes its listener"), "HandshakeError", [/its health check failed/]),
  "listens and never accepts": fails(peer("listens and never accepts"), "HandshakeError", [/its health check failed/]),
  "accepts and never speaks": fails(peer("accepts and never speaks"), "HandshakeError", [/its health check failed/]),
  "never answers its health check": fails(peer("never answers its health check"), "HandshakeError", [
    /its health check failed.*DEADLINE_EXCEEDED/,
  ]),
  "never answers Implemented": fails(peer("never answers Implemented"), "HookDeadlineError", [
    /Implemented did not answer within 10000 ms/,
  ]),
  "never answers OnActivate": fails(
    peer("never answers OnActivate"),
    "HookDeadlineError",
    [/OnActivate did not answer within 300 ms; make the handler faster or raise the hook's deadline/],
    impatient,
  ),
})

const tooLong = `/${"x".repeat(120)}`

kinds("a plugin that lies before it is active:", {
  "prints garbage first": fails(says("Listening on port 8080!"), "HandshakeError", [
    /"Listening on port 8080!"; nothing may be printed to stdout before the handshake/,
  ]),
  "prints binary garbage first": fails(prints("\\377\\376\\000\\001\\033[31m\\n"), "HandshakeError", [
    /not a go-plugin handshake/,
  ]),
  "prints 64 KiB without an end first": fails(sh(`head -c 70000 /dev/zero | tr '\\0' x; ${NEVER}`), "HandshakeError", [
    /not a go-plugin handshake: "x{200}"/,
  ]),
  "speaks another core protocol": fails(says("2", "1", "unix", "/x", "grpc"), "HandshakeError", [
    /core protocol version 2, this host speaks 1; rebuild it/,
  ]),
  "speaks a core protocol that is no number": fails(says("one", "1", "unix", "/x", "grpc"), "HandshakeError", [
    /core protocol version "one" is no number/,
  ]),
  "speaks another app protocol": fails(says("1", "7", "unix", "/x", "grpc"), "HandshakeError", [
    /speaks protocol version 7, this host offers 1/,
  ]),
  "speaks net/rpc": fails(says("1", "1", "unix", "/x", "netrpc"), "HandshakeError", [
    /speaks netrpc, this host speaks grpc only; build the plugin with a gRPC server/,
  ]),
  "speaks it does not say what": fails(says("1", "1", "unix", "/x"), "HandshakeError", [/speaks netrpc/]),
  "has a relative socket": fails(says("1", "1", "unix", "x.sock", "grpc"), "HandshakeError", [
    /"x\.sock" is no absolute path of a socket/,
  ]),
  "has a socket whose path is too long": fails(says("1", "1", "unix", tooLong, "grpc"), "HandshakeError", [
    /is longer than 107 bytes; use a shorter temporary folder/,
  ]),
  "has another kind of network": fails(says("1", "1", "udp", "127.0.0.1:1", "grpc"), "HandshakeError", [
    /"udp 127\.0\.0\.1:1" is no unix socket path or TCP address/,
  ]),
  "has a port that is none": fails(says("1", "1", "tcp", "127.0.0.1:99999", "grpc"), "HandshakeError", [
    /"tcp 127\.0\.0\.1:99999" is no/,
  ]),
  "shows a certificate that nobody asked for": fails(peer("shows a certificate"), "HandshakeError", [
    /a TLS certificate although the host did not ask for TLS/,
  ]),
  "says twice where it listens": starts(peer("says twice where it listens")),
  "speaks HTTP/1": fails(peer("speaks another protocol"), "HandshakeError", [/its health check failed/]),
  "says that it does not serve": fails(peer("does not serve"), "HandshakeError", [/the plugin reports NOT_SERVING/]),
  "answers its health check with garbage": fails(peer("answers its health check with garbage"), "HandshakeError", [
    /its health check failed/,
  ]),
  "fails in Implemented": fails(peer("fails in Implemented"), "HookPluginError", [/Implemented failed.*no list/]),
  "does not know Implemented": starts(peer("does not know Implemented")),
  "has hooks that nobody knows": starts(peer("has hooks that nobody knows")),
  "does not know OnActivate, which it has": fails(peer("does not know OnActivate, which it has"), "HookPluginError", [
    /OnActivate failed.*UNIMPLEMENTED/,
  ]),
  "never answers OnConfigurationChange": starts(peer("never answers OnConfigurationChange"), impatient, [
    /OnConfigurationChange did not answer within 300 ms/,
  ]),
  "refuses to be activated, with a status of success": fails(peer("refuses to be activated"), "HookPluginError", [
    /OnActivate failed in the plugin \(app\.license\): no license/,
  ]),
  "answers OnActivate with garbage": fails(peer("answers OnActivate with garbage"), "HookPluginError", [/OnActivate/]),
  "answers OnActivate with nothing": fails(peer("answers OnActivate with nothing"), "HookPluginError", [/OnActivate/]),
  "answers OnActivate without a status": fails(peer("answers OnActivate without a status"), "HookPluginError", [
    /OnActivate/,
  ]),
  "breaks off OnActivate": fails(peer("breaks off OnActivate"), "HookPluginError", [/OnActivate/]),
  "closes its connection in OnActivate": fails(peer("closes its connection in OnActivate"), "HookTransportError", [
    /OnActivate did not reach the plugin/,
  ]),
})
