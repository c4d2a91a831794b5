/** What a plugin may answer instead of HTTP, by each way. */
import type { Way } from "../support/ways.ts"

/** What a plugin answers, the status that a client gets for it, and whether the answer is cut off. */
type Answer<A> = readonly [string, A, number, "whole" | "cut"]

/** Messages of the contract, as `http-cases` understands them. */
const messages: ReadonlyArray<Answer<ReadonlyArray<object>>> = [
  ["nothing", [], 502, "whole"],
  ["no head", [{ body: 3, complete: true }], 502, "whole"],
  ["status 0", [{ status: 0, complete: true }], 200, "whole"],
  ["status 99", [{ status: 99, complete: true }], 500, "whole"],
  ["status 101", [{ status: 101, complete: true }], 500, "whole"],
  ["status -1", [{ status: -1, complete: true }], 500, "whole"],
  ["status 1000", [{ status: 1000, complete: true }], 500, "whole"],
  ["two heads", [{ status: 200 }, { status: 200, complete: true }], 200, "cut"],
  ["no end", [{ status: 200, body: 3 }], 200, "cut"],
  [
    "more behind the end",
    [
      { status: 200, body: 3, complete: true },
      { status: 404, body: 9 },
    ],
    200,
    "whole",
  ],
  ["a longer body", [{ status: 200, headers: [["Content-Length", "3"]], body: 9, complete: true }], 200, "cut"],
  ["a shorter body", [{ status: 200, headers: [["Content-Length", "9"]], body: 3, complete: true }], 200, "cut"],
  ["two lengths", [{ status: 200, headers: [["Content-Length", "3", "0"]], body: 3, complete: true }], 500, "whole"],
  ["the length 0x5", [{ status: 200, headers: [["content-length", "0x5"]], body: 5, complete: true }], 500, "whole"],
  ["a length of 204", [{ status: 204, headers: [["Content-Length", "3"]], body: 3, complete: true }], 204, "whole"],
  ["a body of 304", [{ status: 304, headers: [["Content-Length", "3"]], body: 3, complete: true }], 304, "whole"],
  [
    "its own chunks",
    [{ status: 200, headers: [["Transfer-Encoding", "chunked"]], body: 3, complete: true }],
    200,
    "whole",
  ],
  ["a field more", [{ status: 200, headers: [["X-A", "a\r\nX-B: b"]], complete: true }], 500, "whole"],
  ["a body more", [{ status: 200, headers: [["X-A", "a\r\n\r\n<script>"]], complete: true }], 500, "whole"],
  ["a field more in a name", [{ status: 200, headers: [["X-B: b\r\nX-A", "a"]], complete: true }], 500, "whole"],
  ["a NUL", [{ status: 200, headers: [["X-A", "\0"]], complete: true }], 500, "whole"],
  ["letters that HTTP has not", [{ status: 200, headers: [["X-A", "\u20ac"]], complete: true }], 500, "whole"],
  ["no name", [{ status: 200, headers: [["", "a"]], complete: true }], 500, "whole"],
  ["a name without values", [{ status: 200, headers: [["X-A"]], complete: true }], 200, "whole"],
  ["10,000 fields", [{ status: 200, many: 10_000, complete: true }], 500, "whole"],
  ["a field of 1 MiB", [{ status: 200, large: 1_048_576, complete: true }], 500, "whole"],
  [
    "chunks of 1 MiB",
    [
      { status: 200, body: 1_048_576 },
      { body: 1_048_576, complete: true },
    ],
    200,
    "whole",
  ],
  [
    "another connection",
    [
      {
        status: 200,
        headers: [
          ["Connection", "close, X-A"],
          ["X-A", "a"],
        ],
        complete: true,
      },
    ],
    200,
    "whole",
  ],
  [
    "another origin's affairs",
    [
      {
        status: 200,
        headers: [
          ["Clear-Site-Data", '"*"'],
          ["Set-Cookie", "MMAUTHTOKEN=x"],
        ],
        complete: true,
      },
    ],
    200,
    "whole",
  ],
]

const ok = (...lines: ReadonlyArray<string>) => ["HTTP/1.1 200 OK", ...lines].join("\r\n")
const chunked = "Transfer-Encoding: chunked"

/** Bytes, behind which the connection ends. */
const bytes: ReadonlyArray<Answer<string>> = [
  ["nothing", "", 502, "whole"],
  ["no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", 502, "whole"],
  ["half a head", ok("Content-Le"), 502, "whole"],
  ["status 099", "HTTP/1.1 099 Odd\r\n\r\n", 500, "whole"],
  ["status 101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", 500, "whole"],
  ["status 1000", "HTTP/1.1 1000 Odd\r\n\r\n", 502, "whole"],
  [
    "an early hint first",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok("Content-Length: 3", "", "xxx"),
    200,
    "whole",
  ],
  ["two answers", ok("Content-Length: 0", "", "").repeat(2), 200, "whole"],
  ["a head in the body", ok(chunked, "", "HTTP/1.1 200 OK\r\n\r\n"), 200, "cut"],
  ["no end", ok(chunked, "", "3\r\nxxx\r\n"), 200, "cut"],
  ["a longer body", ok("Content-Length: 3", "", "xxxxxxxxx"), 200, "whole"],
  ["a shorter body", ok("Content-Length: 9", "", "xxx"), 200, "cut"],
  ["a body that the connection's end ends", ok("", "xxx"), 200, "whole"],
  ["two lengths", ok("Content-Length: 3", "Content-Length: 0", "", "xxx"), 500, "whole"],
  ["the length 0x5", ok("Content-Length: 0x5", "", "xxxxx"), 500, "whole"],
  ["a length and chunks", ok("Content-Length: 3", chunked, "", "0\r\n\r\n"), 500, "whole"],
  ["another encoding", ok("Transfer-Encoding: gzip", "", "xxx"), 502, "whole"],
  ["a length of 204", "HTTP/1.1 204 None\r\nContent-Length: 3\r\n\r\nxxx", 204, "whole"],
  ["a length of 304", "HTTP/1.1 304 Same\r\nContent-Length: 3\r\n\r\n", 304, "whole"],
  ["trailers", ok(chunked, "Trailer: X-A", "", "3\r\nxxx\r\n0\r\nX-A: a\r\n\r\n"), 200, "whole"],
  ["a bare line feed", "HTTP/1.1 200 OK\nX-A: a\nContent-Length: 0\n\n", 502, "whole"],
  ["a folded line", ok("X-C: a", " X-B: b", "Content-Length: 0", "", ""), 502, "whole"],
  ["a blank before the colon", ok("Content-Length : 3", "", "xxx"), 502, "whole"],
  ["a NUL", ok("X-A: \0", "Content-Length: 0", "", ""), 502, "whole"],
  ["10,000 fields", ok(...Array.from({ length: 10_000 }, (_, index) => `X-${index}: x`), "", ""), 500, "whole"],
  ["a field of 1 MiB", ok(`X-Large: ${"x".repeat(1_048_576)}`, "", ""), 500, "whole"],
  ["a chunk of 2 MiB", ok(chunked, "", `200000\r\n${"x".repeat(2_097_152)}\r\n0\r\n\r\n`), 200, "whole"],
  ["another connection", ok("Connection: close, X-A", "X-A: a", "Content-Length: 0", "", ""), 200, "whole"],
  [
    "another origin's affairs",
    ok('Clear-Site-Data: "*"', "Set-Cookie: MMAUTHTOKEN=x", "Content-Length: 0", "", ""),
    200,
    "whole",
  ],
]

/** For a request to `/raw`, with this body. */
export const answers: { readonly [W in Way]: ReadonlyArray<Answer<string>> } = {
  gRPC: messages.map(([name, messages, status, end]) => [name, JSON.stringify(messages), status, end]),
  HTTP: bytes,
}
