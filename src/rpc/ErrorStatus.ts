/**
 * The HTTP status of an error that somebody else has chosen, a plugin say: 400–599, or else 500. One that is no error's
 * (200, 304, −1, 600) would make a failure look like a success, or could not be sent.
 */
export const errorStatus = (status: number): number =>
  Number.isInteger(status) && status >= 400 && status <= 599 ? status : 500
