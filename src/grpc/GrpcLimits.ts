/**
 * What go-plugin's own host takes (1.8, `dialGRPCConn`): 2 GiB less one byte, which is as good as none. It is a number
 * all the same, since grpc-js unzips without any bound where there is no limit.
 */
export const NO_MESSAGE_LIMIT: number = 2 ** 31 - 1

/**
 * How much of one stream's messages, in bytes, a plugin may send ahead of what is read of it. With HTTP/2's own 64 KiB each
 * chunk of a body waits for the one before to be acknowledged; this lets downloads go several times as fast, and is what a
 * stream whose reader has stopped holds at most.
 */
export const FLOW_CONTROL_WINDOW: number = 1024 * 1024

/**
 * Calls that one connection to a server of ours may have in flight; what is more waits on its client's side. It is far
 * beyond what one plugin needs, and bounds how many handlers it can start.
 */
export const MAX_CONCURRENT_STREAMS = 1000

/**
 * Connections that a server of ours holds at once. A plugin has one, or one for each of its worker processes; what is
 * more is closed as it comes.
 */
export const MAX_CONNECTIONS = 64

/**
 * The largest metadata that is sent with a call or its status, in bytes as HTTP/2 counts them (RFC 9113 §6.5.2): the
 * most that grpcio takes. Received is what Node takes: 64 KiB and 128 keys a block, and more ends the call.
 */
export const MAX_METADATA_SIZE: number = 16 * 1024

/**
 * The longest text of a status that is sent, in UTF-16 units; the rest is cut off. Nine bytes each at worst, it stays
 * below what grpcio takes, where a longer one would lose the whole status.
 */
export const MAX_STATUS_TEXT = 1500
