/**
 * The largest message a host should take from a plugin, in bytes, unzipped: 64 MiB. It is more than any message of a
 * well-behaved plugin (bodies of HTTP are streamed), and bounds what one message of another can cost. What runs plugins
 * sets it; by themselves clients and servers take what their transport does.
 */
export const MAX_MESSAGE_SIZE: number = 64 * 1024 * 1024

/**
 * The largest metadata that is sent with a call or its status, in bytes as HTTP/2 counts them (RFC 9113 §6.5.2): the
 * most that grpcio takes. Received is what the transport takes; of gRPC that is 64 KiB and 128 keys a block, and more
 * ends the call.
 */
export const MAX_METADATA_SIZE: number = 16 * 1024

/**
 * The longest text of a status that is sent, in UTF-16 units; the rest is cut off. Nine bytes each at worst, it stays
 * below what grpcio takes, where a longer one would lose the whole status.
 */
export const MAX_STATUS_TEXT = 1500

/**
 * Calls that one connection to a server of ours may have in flight: far beyond what one plugin needs, it bounds how many
 * handlers it can start.
 */
export const MAX_CONCURRENT_STREAMS = 1000
