/** One reading of a request's target, for everything that goes by it. */
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { parse, pluginTarget, withoutParameters } from "../../src/hooks/RequestTarget.ts"

const plugin = (target: string) => pluginTarget(Result.getOrThrow(parse(target)))

describe("a target", () => {
  it.each([
    ["/plugins/x", "x", "/", undefined],
    ["/plugins/x/", "x", "/", undefined],
    ["/plugins/x?a=/b?c", "x", "/", "a=/b?c"],
    ["/plugins/x/a%2Fb/c;d=1?e=%zz#", undefined, undefined, undefined],
    ["/plugins/x/a%2Fb/c;d=1?e=%zz&f=100%", "x", "/a%2Fb/c;d=1", "e=%zz&f=100%"],
    ["/plugins/x/caf%E9", "x", "/caf%E9", undefined],
    ["/plugins/x//y", "x", "//y", undefined],
    ["/plugins/x/.well-known/a..b/...", "x", "/.well-known/a..b/...", undefined],
    ["/plugins/Some%2Did/a", "Some-id", "/a", undefined],
    ["http://host:1/plugins/x/a?b", "x", "/a", "b"],
    ["HTTPS://host/plugins/x", "x", "/", undefined],
  ])("%s", (target, id, below, query) => {
    if (id === undefined) return assert.isTrue(Result.isFailure(parse(target)))
    assert.deepInclude(plugin(target), { id, below, query })
  })

  it.each([
    "/plugins",
    "/plugins/",
    "//plugins/x/a",
    "/plugins//x/a",
    "/Plugins/x/a",
    "/%70lugins/x/a",
    "/plugins;y=1/x",
    "/plugins/x;y=1/a",
    "/plugins/x%2Fa",
    "/plugins/x%00/a",
    "/plugins/%D1%85/a",
    "/plugins?/x/a",
    "http://host",
    "/x/plugins/y",
  ])("%s is for no plugin", (target) => assert.isUndefined(plugin(target)))

  it.each([
    "",
    "*",
    "plugins/x",
    "host:80",
    "ftp://host/plugins/x",
    "http:///plugins/x",
    "http://somebody@host/plugins/x",
    "/plugins/x#y",
    "/plugins/x?y#z",
    "/plugins/x/100%",
    "/plugins/x/%zz",
    "/plugins/x/../y/",
    "/plugins/x/%2E./y",
    "/plugins/x/.",
    "/plugins/x/a/%2e%2E",
    "/plugins\\x/",
  ])("%s is refused", (target) => assert.isTrue(Result.isFailure(parse(target))))

  it("names whom it asks, in its absolute form", () => {
    assert.strictEqual(Result.getOrThrow(parse("http://host:1?a")).authority, "host:1")
    assert.deepInclude(Result.getOrThrow(parse("http://host:1?a")), { path: "/", query: "a" })
    assert.isUndefined(Result.getOrThrow(parse("/http://host/")).authority)
  })
})

describe("parameters", () => {
  const without = (query: string) => withoutParameters(query, (name, value) => name === "x" || value === "y")
  it.each([
    ["a=1&x=2&b=3", "a=1&b=3"],
    ["x=2&b=%2f+", "b=%2f+"],
    ["a;x=1;b=y&c", "a&c"],
    ["a=1;x", "a=1"],
    ["x", undefined],
    ["&&a", "&&a"],
    ["", ""],
  ])("%s", (query, expected) => assert.strictEqual(without(query), expected))
})
