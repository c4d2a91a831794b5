/** The ratios by their names, which those who compare runs rely on. */
import type { Ratio } from "./rounds.ts"

export const RATIOS = {
  hook_p50: {
    ours: "a hook, async handler",
    peer: "reference wire",
    of: ["asyncHook", "wireHook"],
  },
  hook_p50_sync: {
    ours: "a hook, sync handler",
    peer: "reference wire",
    of: ["syncHook", "wireHook"],
  },
  hook_throughput_64: {
    ours: "hooks, 64 in flight, async handler",
    peer: "reference wire",
    of: ["asyncHooks", "wireHooks"],
  },
  hook_throughput_64_sync: {
    ours: "hooks, 64 in flight, sync handler",
    peer: "reference wire",
    of: ["syncHooks", "wireHooks"],
  },
  hook_vs_go_netrpc_p50: {
    ours: "a hook, async handler",
    peer: "go-plugin's net/rpc, Go to Go",
    of: ["asyncHook", "netRpcHook"],
  },
  notify_throughput: {
    ours: "events heard, one after the other",
    peer: "reference wire, 64 in flight",
    of: ["events", "wireEvents"],
  },
  unary_overhead: {
    ours: "a call by our gRPC client",
    peer: "grpc-js",
    of: ["grpcCall", "grpcJsCall"],
  },
  api_kv: {
    ours: "KVSet and KVGet, 64 in flight",
    peer: "grpcio to a Go host",
    of: ["pairs", "grpcPairs"],
  },
  start: {
    ours: "start to active",
    peer: 'python -c "import grpc"',
    of: ["start", "importGrpc"],
  },
  plugin_rss: {
    ours: "memory of a plugin",
    peer: "plain grpcio server",
    of: ["pluginMemory", "serverMemory"],
  },
  http_small_asgi: {
    ours: "small GET, Starlette, 16 connections",
    peer: "plain proxy to uvicorn",
    of: ["asgiPlugin", "asgiProxy"],
  },
  http_small_wsgi: {
    ours: "small GET, WSGI, 16 connections",
    peer: "plain proxy to gunicorn",
    of: ["wsgiPlugin", "wsgiProxy"],
  },
  http_stream: {
    ours: "256 MiB down",
    peer: "plain proxy to uvicorn",
    of: ["streamPlugin", "streamProxy"],
  },
} as const satisfies { readonly [name: string]: Ratio }
