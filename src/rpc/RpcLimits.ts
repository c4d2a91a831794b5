/**
 * The largest message a host should take from a plugin, in bytes, unzipped: 64 MiB. It is more than any message of a
 * well-behaved plugin (bodies of HTTP are streamed), and bounds what one message of another can cost. What runs plugins
 * sets it; by themselves clients and servers take {@link NO_MESSAGE_LIMIT}.
 */
export const MAX_MESSAGE_SIZE: number = 64 * 1024 * 1024
