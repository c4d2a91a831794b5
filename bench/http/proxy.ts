/** The plainest proxy that is right: what the host's forwarding stands beside. Its argument is the port behind it. */
import { Agent, createServer, request } from "node:http"
import { pipeline } from "node:stream"

/** Frees connections sooner than uvicorn and gunicorn close them, after five seconds and sixty. */
const agent = new Agent({ keepAlive: true, timeout: 2000 })
const port = Number(process.argv[2])

const server = createServer((incoming, outgoing) => {
  const { method, rawHeaders: headers, url: path } = incoming
  const upstream = request({ agent, host: "127.0.0.1", port, method, path, headers, setHost: false }, (response) => {
    outgoing.writeHead(response.statusCode!, response.rawHeaders)
    pipeline(response, outgoing, () => {})
  })
  upstream.on("error", () => outgoing.destroy())
  outgoing.on("close", () => {
    if (!outgoing.writableFinished) upstream.destroy()
  })
  if (method === "GET") upstream.end()
  else pipeline(incoming, upstream, () => {})
})

server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  if (address !== null && typeof address === "object") process.stdout.write(`listens on ${address.port}\n`)
})
