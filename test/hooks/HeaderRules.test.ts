/** What of a head goes on, in either direction. */
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { type Field, MAX_RESPONSE_HEAD, requestFields, responseFields } from "../../src/hooks/HeaderRules.ts"
import { carries, isExactly, isTokenParameter } from "../../src/http/HostTokens.ts"

const NOSNIFF: Field = ["X-Content-Type-Options", "nosniff"]
const response = (fields: ReadonlyArray<Field>, status = 200, allowed: ReadonlyArray<string> = []) =>
  responseFields(fields, { status, allowed: new Set(allowed) })
/** What is left of a response's fields. */
const kept = (...args: Parameters<typeof response>) =>
  Result.getOrThrow(response(...args)).filter((field) => field[0] !== NOSNIFF[0])

describe("fields of one connection", () => {
  it("are dropped, with those that they name, in any case and number", () => {
    const fields: ReadonlyArray<Field> = [
      ["Connection", "close, X-One"],
      ["connection", "x-TWO ,"],
      ["Proxy-Connection", "X-Three"],
      ["x-one", "1"],
      ["X-Two", "2"],
      ["X-three", "3"],
      ["X-Four", "4"],
      ...["Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "HTTP2-Settings", "Proxy-Authorization"].map(
        (name): Field => [name, "x"],
      ),
    ]
    assert.deepStrictEqual(
      requestFields(fields, () => false),
      [["X-Four", "4"]],
    )
    assert.deepStrictEqual(kept(fields), [["X-Four", "4"]])
  })
})

describe("a request's fields", () => {
  it("hold nothing that only the host may say", () => {
    const names = ["Mattermost-User-Id", "mattermost_user-id", "MATTERMOST_PLUGIN_ID", "Referer", "Expect"]
    assert.deepStrictEqual(
      requestFields([...names.map((name): Field => [name, "x"]), ["Host", "h"]], () => false),
      [["Host", "h"]],
    )
  })

  it("are one Cookie without the host's", () => {
    const fields: ReadonlyArray<Field> = [
      ["Cookie", "a=1; MMAUTHTOKEN=x;b=2"],
      ["cookie", "MMAUTHTOKEN =x; =MMAUTHTOKEN; c=secret; mmauthtoken=mine; ;"],
    ]
    assert.deepStrictEqual(
      requestFields(fields, (value) => value.includes("secret")),
      [["Cookie", "a=1; b=2; mmauthtoken=mine"]],
    )
    assert.deepStrictEqual(
      requestFields([["Cookie", "MMAUTHTOKEN=x"]], () => false),
      [],
    )
  })
})

describe("a token of the host's", () => {
  const token = "a+secret/Token=="
  const isToken = isExactly(token)
  it.each([
    token,
    ` ${token} `,
    `Token ${token}`,
    `Bearer ${token}`,
    `bearer x,Bearer ${token}`,
    `Digest a="b", c="${token}"`,
    `session=${token}`,
    `x:${token}`,
    encodeURIComponent(token),
    `Basic ${Buffer.from(`user:${token}`).toString("base64")}`,
    `basic  ${Buffer.from(`${token}:`).toString("base64")}`,
    "a%2Bsecret%2fToken%3d%3D",
  ])("is seen in %s", (value) => assert.isTrue(carries(value, isToken)))

  it.each(["", "secret", "a+secret/Token=", "Bearer other", `${token}x`, "Basic !!!", "100%"])(
    "is not in %s",
    (value) => assert.isFalse(carries(value, isToken)),
  )

  it("is no parameter, whatever its name, and the parameter for it is none either", () => {
    assert.isTrue(isTokenParameter("q", encodeURIComponent(token), isToken))
    for (const name of ["access_token", "access%5Ftoken", "%61ccess_token", "Access_Token", "+access_token"]) {
      assert.isTrue(isTokenParameter(name, "another", isToken), name)
    }
    assert.isFalse(isTokenParameter("access", "another", isToken))
  })
})

describe("a response's fields", () => {
  it("have one valid length, or none", () => {
    assert.deepStrictEqual(kept([["content-LENGTH", "5"]]), [["content-LENGTH", "5"]])
    for (const length of ["abc", "-1", "+5", "5.0", "0x5", "5 5", "5, 5", "", "1e3", "9".repeat(16), "٥"]) {
      assert.isTrue(Result.isFailure(response([["Content-Length", length]])), length)
    }
    assert.isTrue(
      Result.isFailure(
        response([
          ["Content-Length", "5"],
          ["content-length", "5"],
        ]),
      ),
    )
  })

  it("have no length where there is no body", () => {
    for (const status of [204, 205, 304]) assert.deepStrictEqual(kept([["Content-Length", "5"]], status), [])
  })

  it("are such that HTTP has", () => {
    const wrong: ReadonlyArray<Field> = [
      ["X-A", "a\r\nX-B: b"],
      ["X-A", "a\nb"],
      ["X-A", "a\0"],
      ["X-A", "\u20ac"],
      ["X-A\r\nX-B", "a"],
      ["X A", "a"],
      ["X-A:", "a"],
      ["", "a"],
    ]
    for (const field of wrong) assert.isTrue(Result.isFailure(response([field])), JSON.stringify(field))
    assert.deepStrictEqual(kept([["X-A", "\xe9\t"]]), [["X-A", "\xe9\t"]])
  })

  it("are bounded together", () => {
    assert.isTrue(Result.isSuccess(response([["X-A", "a".repeat(MAX_RESPONSE_HEAD - 35)]])))
    assert.isTrue(Result.isFailure(response([["X-A", "a".repeat(MAX_RESPONSE_HEAD - 34)]])))
    assert.isTrue(Result.isFailure(response(Array.from({ length: 10_000 }, (): Field => ["A", ""]))))
  })

  it("don't speak for the whole origin, unless that is allowed", () => {
    const fields = [
      "Clear-Site-Data",
      "Service-Worker-Allowed",
      "Strict-Transport-Security",
      "Alt-Svc",
      "NEL",
      "Report-To",
    ]
    const all = fields.map((name): Field => [name, "x"])
    assert.deepStrictEqual(kept(all), [])
    assert.deepStrictEqual(kept(all, 200, ["alt-svc"]), [["Alt-Svc", "x"]])
  })

  it("set no cookie of the host's, and none for other hosts", () => {
    const cookies = (value: string) => kept([["Set-Cookie", value]]).map(([, cookie]) => cookie)
    assert.deepStrictEqual(cookies("MMAUTHTOKEN=x; Path=/"), [])
    assert.deepStrictEqual(cookies(" MMAUTHTOKEN =x"), [])
    assert.deepStrictEqual(cookies("=MMAUTHTOKEN=x"), [])
    assert.deepStrictEqual(cookies("MMCSRF=mine"), [])
    assert.deepStrictEqual(cookies("a=1; Domain=example.org; Path=/; DOMAIN=x"), ["a=1; Path=/"])
    assert.deepStrictEqual(cookies("domain=1; domain; Secure"), ["domain=1; Secure"])
  })

  it("keep clients from guessing, unless the plugin says something about that", () => {
    assert.deepStrictEqual(Result.getOrThrow(response([])), [NOSNIFF])
    assert.deepStrictEqual(Result.getOrThrow(response([["x-content-type-options", ""]])), [
      ["x-content-type-options", ""],
    ])
  })
})
