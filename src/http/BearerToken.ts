/** The token of an `Authorization: Bearer` header (RFC 6750 §2.1). */
export const bearerToken = (authorization: string | undefined): string | undefined =>
  /^Bearer +(?<token>\S+)$/i.exec(authorization ?? "")?.groups?.["token"]
