/** Whom a host answers for. */
import type { IncomingMessage } from "node:http"
import { assert, describe, it } from "@effect/vitest"
import { NetAddress } from "effect/net"
import { hostCheck } from "../../src/http/HostCheck.ts"

const at = (address: string) => NetAddress.inetAddressFromIpStringUnsafe(address, 8065)

/** Whether a request is answered that asks for `host`. */
const isAnswered = (
  check: ReturnType<typeof hostCheck>,
  host: string | ReadonlyArray<string>,
  { url = "/", localAddress = "127.0.0.1" } = {},
): boolean => {
  const rawHeaders = [host].flat().flatMap((value) => ["hOST", value])
  return check({ url, rawHeaders, socket: { localAddress } } as unknown as IncomingMessage) === undefined
}

describe("a server on loopback", () => {
  it.each(["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.8.8.8"])("%s answers for loopback names", (address) => {
    const check = hostCheck(at(address), {})
    const ours = [
      "localhost",
      "LOCALHOST:8065",
      "localhost.",
      "a.localhost:1",
      "127.0.0.1:8065",
      "127.9.9.9",
      "[::1]:8065",
    ]
    for (const host of [...ours, "[::ffff:127.0.0.1]"]) assert.isTrue(isAnswered(check, host), host)
    const foreign = [
      "evil.example",
      "evil.example:8065",
      "localhost.evil.example",
      "127.0.0.1.evil.example",
      "10.0.0.1",
    ]
    for (const host of [...foreign, "", ":8065", "[::2]", "localhost:x", "user@localhost", "notlocalhost", "a b"]) {
      assert.isFalse(isAnswered(check, host), host)
    }
  })

  it("looks at the target's authority as well, and at every Host", () => {
    const check = hostCheck(at("127.0.0.1"), {})
    assert.isTrue(isAnswered(check, "localhost", { url: "http://127.0.0.1/x" }))
    assert.isFalse(isAnswered(check, "localhost", { url: "http://evil.example/x" }))
    assert.isFalse(isAnswered(check, "evil.example", { url: "http://localhost/x" }))
    assert.isFalse(isAnswered(check, ["localhost", "evil.example"]))
    assert.isTrue(isAnswered(check, []), "HTTP/1.0 needs none")
  })

  it("answers for names that are allowed, too", () => {
    const check = hostCheck(at("::1"), { allowedHosts: ["Plugins.Example.org", "other.example:80"] })
    for (const host of ["plugins.example.org:443", "other.example", "localhost"]) assert.isTrue(isAnswered(check, host))
    assert.isFalse(isAnswered(check, "example.org"))
    assert.isTrue(isAnswered(hostCheck(at("::1"), { allowedHosts: ["*"] }), "any.example"))
  })
})

describe("a server elsewhere", () => {
  it("answers for any name, unless some are set", () => {
    for (const address of ["0.0.0.0", "::", "192.168.1.5"]) {
      assert.isTrue(isAnswered(hostCheck(at(address), {}), "any.example"))
    }
    assert.isTrue(isAnswered(hostCheck(NetAddress.unixPathAddress("/run/x.sock"), {}), "any.example"))
    const check = hostCheck(at("0.0.0.0"), { allowedHosts: ["plugins.example.org"] })
    const localAddress = "::ffff:192.168.1.5"
    assert.isTrue(isAnswered(check, "plugins.example.org", { localAddress }))
    assert.isTrue(isAnswered(check, "192.168.1.5:8065", { localAddress }), "the address that was connected to")
    assert.isFalse(isAnswered(check, "192.168.1.6", { localAddress }))
    assert.isFalse(isAnswered(check, "any.example", { localAddress }))
  })
})
