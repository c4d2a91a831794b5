import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { parse } from "../../src/goplugin/HandshakeLine.ts"
import * as SocketAddress from "../../src/goplugin/SocketAddress.ts"

const CERTIFICATE = "A".repeat(60)

describe("HandshakeLine.parse", () => {
  const accepted: ReadonlyArray<readonly [line: string, target: string, version: number]> = [
    ["1|1|unix|/tmp/plugin123|grpc|", "unix:/tmp/plugin123", 1],
    ["1|1|unix|/tmp/plugin123|grpc", "unix:/tmp/plugin123", 1],
    ["  1|2|tcp|127.0.0.1:1234|grpc||false  ", "127.0.0.1:1234", 2],
    ["1|1|tcp|:1234|grpc|", "127.0.0.1:1234", 1],
    ["1|1|tcp|[::1]:1234|grpc|", "ipv6:[::1]:1234", 1],
    ["1|1|tcp|localhost:65535|grpc|legacy extra data", "localhost:65535", 1],
    ["1|1|unix|/tmp/x|grpc||true|more|fields", "unix:/tmp/x", 1],
  ]
  it.each(accepted)("accepts %j", (line, target, version) => {
    const parsed = Result.getOrThrow(parse(line, { versions: [1, 2] }))
    if (parsed.protocol !== "grpc") return assert.fail(parsed.protocol)
    const { address, certificate, protocolVersion } = parsed
    assert.deepStrictEqual([SocketAddress.target(address), protocolVersion, certificate], [target, version, undefined])
  })

  it("accepts ttrpc where it is offered, and grpc there unless ttrpc is required", () => {
    const [ttrpc, grpc] = ["1|2|fd|4|ttrpc", "1|2|unix|/tmp/x|grpc"]
    const kindOf = (line: string, expected: "required" | "optional" | "refused") => {
      const result = parse(line, { versions: [2], ttrpc: expected })
      return Result.isFailure(result) ? result.failure.kind : result.success.protocol
    }
    assert.deepStrictEqual(
      (["required", "optional", "refused"] as const).map((expected) => [
        kindOf(ttrpc, expected),
        kindOf(grpc, expected),
      ]),
      [
        ["ttrpc", "protocol"],
        ["ttrpc", "grpc"],
        ["network", "grpc"],
      ],
    )
    // Nobody is to connect to it.
    assert.strictEqual(kindOf("1|2|unix|/tmp/x|ttrpc", "optional"), "protocol")
  })

  const refused: ReadonlyArray<readonly [line: string, kind: string]> = [
    ["", "unrecognized"],
    ["Loading…", "unrecognized"],
    ["1|1|unix", "unrecognized"],
    ["x|1|unix|/tmp/x|grpc", "coreVersion"],
    ["2|1|unix|/tmp/x|grpc", "coreVersion"],
    ["1|x|unix|/tmp/x|grpc", "protocolVersion"],
    ["1|11|unix|/tmp/x|grpc", "protocolVersion"],
    ["1|1|udp|127.0.0.1:1|grpc", "network"],
    ["1|1|unix|relative|grpc", "network"],
    [`1|1|unix|/${"x".repeat(120)}|grpc`, "network"],
    ["1|1|tcp|127.0.0.1|grpc", "network"],
    ["1|1|tcp|127.0.0.1:0|grpc", "network"],
    ["1|1|tcp|127.0.0.1:65536|grpc", "network"],
    ["1|1|tcp|[nonsense]:1|grpc", "network"],
    ["1|1|unix|/tmp/x", "protocol"],
    ["1|1|unix|/tmp/x|netrpc", "protocol"],
    [`1|1|unix|/tmp/x|grpc|${CERTIFICATE}`, "certificate"],
  ]
  it.each(refused)("refuses %j", (line, kind) => {
    const result = parse(line, { versions: [1, 2] })
    assert.isTrue(Result.isFailure(result))
    if (Result.isFailure(result)) assert.strictEqual(result.failure.kind, kind)
  })

  it("wants a certificate where the host asked for one, and a whole one", () => {
    const problemOf = (field: string) => {
      const result = parse(`1|1|unix|/tmp/x|grpc|${field}`, { versions: [1], certificate: "required" })
      return Result.isFailure(result) ? result.failure : undefined
    }
    assert.include(problemOf("")?.detail, "no TLS certificate")
    assert.include(problemOf("short")?.detail, "no TLS certificate")
    assert.include(problemOf("*".repeat(60))?.detail, "not base64")
    assert.include(problemOf(CERTIFICATE)?.detail, "can't be read")
    assert.strictEqual(problemOf(CERTIFICATE)?.kind, "certificate")
  })

  it("makes go-plugin's checks in go-plugin's order", () => {
    const kind = (line: string) => {
      const result = parse(line, { versions: [1] })
      return Result.isFailure(result) ? result.failure.kind : "accepted"
    }
    assert.strictEqual(kind(`9|9|udp|x|netrpc|${CERTIFICATE}`), "coreVersion")
    assert.strictEqual(kind(`1|9|udp|x|netrpc|${CERTIFICATE}`), "protocolVersion")
    assert.strictEqual(kind(`1|1|udp|x|netrpc|${CERTIFICATE}`), "network")
    assert.strictEqual(kind(`1|1|unix|/x|netrpc|${CERTIFICATE}`), "protocol")
  })

  it("repeats only the beginning of a foreign line", () => {
    const result = parse("x".repeat(100_000), { versions: [1] })
    assert.isTrue(Result.isFailure(result) && result.failure.detail.length < 1000)
  })
})
