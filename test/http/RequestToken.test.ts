/** Whose a request is: where tokens stand, and when a cookie counts. */
import type { IncomingMessage } from "node:http"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { parse, pluginTarget } from "../../src/hooks/RequestTarget.ts"
import { isOwnRequest, requestToken } from "../../src/http/RequestToken.ts"

type Fields = { readonly [name: string]: string | ReadonlyArray<string> }

/** A request as Node reads it. */
const request = (fields: Fields, method = "GET"): IncomingMessage => {
  const lines = Object.entries({ Host: "chat.example", ...fields }).flatMap(([name, values]) =>
    [values].flat().map((value) => [name, value] as const),
  )
  const headers: { [name: string]: string } = {}
  for (const [name, value] of lines) {
    const key = name.toLowerCase()
    if (key in headers && key === "authorization") continue
    headers[key] = key in headers ? `${headers[key]}${key === "cookie" ? "; " : ", "}${value}` : value
  }
  return { method, headers, rawHeaders: lines.flat() } as unknown as IncomingMessage
}
const targetOf = (target: string) => pluginTarget(Result.getOrThrow(parse(target)))!
const shown = (fields: Fields, query = "") => requestToken(request(fields), targetOf(`/plugins/x/y${query}`))

describe("a request's token", () => {
  it.each([
    [{ Authorization: "Bearer t" }, "", "header"],
    [{ Authorization: "BEARER   t" }, "", "header"],
    [{ Authorization: "bearer t" }, "", "header"],
    [{ Authorization: "token t" }, "", "header"],
    [{ Authorization: "Token t" }, "", "header"],
    [{ Authorization: "Bearer t", Cookie: "MMAUTHTOKEN=c" }, "?access_token=q", "header"],
    [{ Authorization: ["Bearer t", "Bearer u"] }, "", "header"],
    [{ Cookie: "MMAUTHTOKEN=t" }, "?access_token=q", "cookie"],
    [{ Authorization: "Basic dXNlcjpwYXNz", Cookie: "a=1;  MMAUTHTOKEN = t ; b=2" }, "", "cookie"],
    [{ Cookie: ["a=MMAUTHTOKEN=c", 'MMAUTHTOKEN="t"', "MMAUTHTOKEN=u"] }, "", "cookie"],
    [{}, "?access_token=t", "query"],
    [{}, "?a=1&access%5Ftoken=%74&access_token=u", "query"],
    [{ Cookie: "mmauthtoken=c; =MMAUTHTOKEN; XMMAUTHTOKEN=c" }, "?a;access_token=t", "query"],
  ] as const)("of %j %s is in the %s", (fields, query, place) =>
    assert.deepStrictEqual(shown(fields, query), { token: "t", place }),
  )

  it.each([
    [{}, ""],
    [{ Authorization: "Bearer" }, ""],
    [{ Authorization: "Bearer a b" }, ""],
    [{ Authorization: "Bearert" }, ""],
    [{ Authorization: "Basic dDp0" }, ""],
    [{ Cookie: "MMAUTHTOKEN=" }, "?access_token=q"],
    [{ Cookie: "MMAUTHTOKEN" }, ""],
    [{}, "?access_token="],
    [{}, "?access_token"],
    [{}, "?Access_Token=t"],
  ] as const)("is not in %j %s", (fields, query) => assert.isUndefined(shown(fields, query)))
})

const COOKIE = { Cookie: "MMAUTHTOKEN=t; MMCSRF=secret" }
const isOwn = (fields: Fields, { method = "GET", isStrict = false, target = "/plugins/x/y" } = {}) =>
  isOwnRequest(request({ ...COOKIE, ...fields }, method), targetOf(target), { token: "t", place: "cookie" }, isStrict)

describe("a token that is a cookie", () => {
  it("counts for what changes nothing", () => {
    assert.isTrue(isOwn({}))
    assert.isTrue(isOwn({}, { method: "HEAD" }))
    assert.isTrue(isOwn({ "Sec-Fetch-Site": "same-origin" }))
    assert.isTrue(isOwn({ "Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate" }), "an address that was typed in")
  })

  it.each(["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "PROPFIND"])(
    "counts for %s only with what another origin's page can't send",
    (method) => {
      assert.isFalse(isOwn({}, { method }))
      assert.isFalse(isOwn({ "Sec-Fetch-Site": "same-origin" }, { method }))
      assert.isTrue(isOwn({ "X-CSRF-Token": "secret" }, { method }))
      assert.isTrue(isOwn({ "X-CSRF-Token": "secret" }, { method, isStrict: true }))
      assert.isTrue(isOwn({ "X-Requested-With": "XMLHttpRequest" }, { method }))
      assert.isFalse(isOwn({ "X-Requested-With": "XMLHttpRequest" }, { method, isStrict: true }))
      assert.isFalse(isOwn({ "X-Requested-With": "fetch" }, { method }))
    },
  )

  it.each([
    ["another one", { "X-CSRF-Token": "Secret" }],
    ["a part", { "X-CSRF-Token": "secre" }],
    ["several", { "X-CSRF-Token": ["secret", "secret"] }],
    ["no cookie", { "X-CSRF-Token": "secret", Cookie: "MMAUTHTOKEN=t" }],
    ["none, like the cookie", { "X-CSRF-Token": "", Cookie: "MMAUTHTOKEN=t; MMCSRF=" }],
    ["nothing", { Cookie: "MMAUTHTOKEN=t; MMCSRF=" }],
    ["the one of two cookies", { "X-CSRF-Token": "secret", Cookie: "MMAUTHTOKEN=t; MMCSRF=other; MMCSRF=secret" }],
    ["the name", { "X-CSRF-Token": "secret", Cookie: "MMAUTHTOKEN=t; MMCSRF; secret=MMCSRF" }],
  ] as const)("is not vouched for by %s", (_, fields) => assert.isFalse(isOwn(fields, { method: "POST" })))

  const PROOF = { "X-CSRF-Token": "secret", "X-Requested-With": "XMLHttpRequest" }

  it.each([
    { "Sec-Fetch-Site": "cross-site" },
    { "Sec-Fetch-Site": "same-site" },
    { "Sec-Fetch-Site": ["same-origin", "cross-site"] },
    { "Sec-Fetch-Site": "" },
    { "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe" },
    { "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "document" },
    { "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "websocket", Origin: "https://chat.example" },
    { Origin: "https://evil.example" },
    { Origin: "null" },
    { Origin: "" },
    { Origin: "https://chat.example.evil.example" },
    { Origin: "https://evil.example@other" },
    { Origin: "https://chat.example:8443" },
    { Origin: "file://" },
    { Origin: ["https://chat.example", "https://evil.example"] },
  ])("does not count for another origin's page, whatever it proves: %j", (fields) => {
    assert.isFalse(isOwn(fields))
    assert.isFalse(isOwn({ ...fields, ...PROOF }, { method: "POST" }))
  })

  it("counts where a user follows a link, and not for a form that another page sends", () => {
    const navigation = { "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document" }
    assert.isTrue(isOwn(navigation))
    assert.isFalse(isOwn({ ...navigation, ...PROOF }, { method: "POST" }))
  })

  it.each([
    ["https://chat.example", "chat.example"],
    ["https://chat.example", "chat.example:443"],
    ["http://chat.example:8065", "CHAT.example:8065"],
    ["http://[::1]:8065", "[::1]:8065"],
  ])("counts for a page of %s at %s", (origin, host) =>
    assert.isTrue(isOwn({ Origin: origin, Host: host, ...PROOF }, { method: "POST" })),
  )

  it("goes by the host in an absolute target", () => {
    const fields = { Origin: "http://a.example", Host: "b.example" }
    assert.isTrue(isOwn(fields, { target: "http://a.example/plugins/x/y" }))
    assert.isFalse(isOwn(fields, { target: "http://b.example/plugins/x/y" }))
  })
})

describe("a token that is no cookie", () => {
  it("counts whatever page has it: no browser sends it by itself", () => {
    const foreign = request({ "Sec-Fetch-Site": "cross-site", Origin: "https://app.example" }, "POST")
    for (const place of ["header", "query"] as const) {
      assert.isTrue(isOwnRequest(foreign, targetOf("/plugins/x/y"), { token: "t", place }, true))
    }
  })
})
