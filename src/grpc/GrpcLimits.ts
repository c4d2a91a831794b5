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
 * Connections that a server of ours holds at once. A plugin has one, or one for each of its worker processes; what is
 * more is closed as it comes.
 */
export const MAX_CONNECTIONS = 64
