/** The token of an `Authorization: Bearer` header (RFC 6750 §2.1), or of Mattermost's `Authorization: token`. */
export const bearerToken = (authorization: string | undefined): string | undefined =>
  /^(?:Bearer|Token) +(?<token>\S+)$/i.exec(authorization ?? "")?.groups?.["token"]
