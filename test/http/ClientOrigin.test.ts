/** Who asks, by the word of proxies. */
import type { IncomingMessage } from "node:http"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { originOf, TRUSTED_PROXIES, trustedProxies } from "../../src/http/ClientOrigin.ts"

const request = (remoteAddress: string | undefined, fields: Record<string, string>, encrypted = false) =>
  ({
    socket: { remoteAddress, encrypted },
    rawHeaders: Object.entries(fields).flat(),
  }) as unknown as IncomingMessage

const told = (
  remote: string | undefined,
  fields: Record<string, string>,
  proxies: ReadonlyArray<string> = TRUSTED_PROXIES,
) => originOf(request(remote, fields), "own", Result.getOrThrow(trustedProxies(proxies)))

describe("trustedProxies", () => {
  it("are addresses and ranges of either family", () => {
    const isTrusted = Result.getOrThrow(trustedProxies(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", " ::1 "]))
    for (const address of ["10.1.2.3", "192.0.2.1", "2001:db8:1::2", "::1", "::ffff:10.0.0.1"]) {
      assert.isTrue(isTrusted(address), address)
    }
    for (const address of ["11.1.2.3", "192.0.2.2", "2001:db9::1", "127.0.0.1"]) {
      assert.isFalse(isTrusted(address), address)
    }
  })

  it.each(["", "x", "10.0.0.0/33", "::1/129", "10.0.0.0/", "10.0.0/8", "localhost", "10.0.0.0/8/8"])(
    "are not %s",
    (proxy) => {
      const parsed = trustedProxies(["127.0.0.1", proxy])
      assert.isTrue(Result.isFailure(parsed) && parsed.failure.includes(JSON.stringify(proxy)))
    },
  )
})

describe("originOf", () => {
  const forwarded = {
    "X-Forwarded-For": "6.6.6.6, 203.0.113.7",
    "x-forwarded-proto": "HTTPS",
    "X-Forwarded-Host": "site.example:8443",
  }

  it("is who has connected, whatever that one says, unless it is trusted", () => {
    const peer = { address: "203.0.113.1", scheme: "http", host: "own" }
    assert.deepStrictEqual(told("203.0.113.1", forwarded), peer)
    assert.deepStrictEqual(told("203.0.113.1", { Forwarded: "for=6.6.6.6;proto=https;host=x" }), peer)
    assert.strictEqual(originOf(request("1.2.3.4", {}, true), "own", () => false).scheme, "https")
  })

  it("is whom the nearest proxies name, as long as each is trusted", () => {
    const named = { address: "203.0.113.7", scheme: "https", host: "site.example:8443" }
    for (const loopback of ["127.0.0.1", "::1", "::ffff:127.0.0.1", undefined]) {
      assert.deepStrictEqual(told(loopback, forwarded), named, String(loopback))
    }
    const chain = { "X-Forwarded-For": "6.6.6.6, 198.51.100.1, 10.0.0.2, 10.0.0.1" }
    assert.strictEqual(told("127.0.0.1", chain).address, "10.0.0.1")
    assert.strictEqual(told("127.0.0.1", chain, ["127.0.0.1", "10.0.0.0/8"]).address, "198.51.100.1")
    const each = { ...chain, "X-Forwarded-Proto": "http, https, http, http", "X-Forwarded-Host": "a, b, c, d" }
    assert.deepStrictEqual(told("127.0.0.1", each, ["127.0.0.1", "10.0.0.0/8"]), {
      address: "198.51.100.1",
      scheme: "https",
      host: "b",
    })
  })

  it("reads Forwarded where there is no X-Forwarded", () => {
    const named = { address: "2001:db8::1", scheme: "https", host: "site.example" }
    const element = 'for="[2001:db8::1]:4711"; Proto=https;host="site.example";by=x'
    assert.deepStrictEqual(told("127.0.0.1", { Forwarded: `for=6.6.6.6, ${element}` }), named)
    assert.strictEqual(told("127.0.0.1", { Forwarded: "for=6.6.6.6", "X-Forwarded-For": "7.7.7.7" }).address, "7.7.7.7")
    assert.strictEqual(told("127.0.0.1", { Forwarded: "for=1.2.3.4:99" }).address, "1.2.3.4")
  })

  it("is the last that is known, where what is said is nothing", () => {
    for (const address of ["unknown", "_hidden", "1.2.3", "evil.example", "1.2.3.4, x", "[::1"]) {
      const { address: found } = told("127.0.0.1", { "X-Forwarded-For": address })
      assert.strictEqual(found, "127.0.0.1", address)
    }
    const odd = { "X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "ftp", "X-Forwarded-Host": 'a"><script>' }
    assert.deepStrictEqual(told("127.0.0.1", odd), { address: "1.2.3.4", scheme: "http", host: "own" })
    assert.strictEqual(told("127.0.0.1", { "X-Forwarded-Proto": "https" }).scheme, "https")
    assert.deepStrictEqual(told("127.0.0.1", {}), { address: "127.0.0.1", scheme: "http", host: "own" })
  })
})
