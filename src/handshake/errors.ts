/** What a peer agent did that ends its connection; the code is a label of metrics. */
export type ProtocolErrorCode =
  | 'FRAME' // a length that is none, or beyond the bound
  | 'MALFORMED' // bytes that are no message
  | 'BOUNDS' // a field beyond what the protocol allows
  | 'UNEXPECTED' // a message that may not come now
  | 'VERSION' // no version in common
  | 'DOMAIN' // of another domain
  | 'PEER'; // not the agent its certificate names, or none this one knows

/** The message says what was wrong with what came; the connection it came on is closed. */
export class ProtocolError extends Error {
  readonly code: ProtocolErrorCode;

  constructor(code: ProtocolErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ProtocolError';
    this.code = code;
  }
}

export type HandshakeErrorCode =
  | 'CREDENTIALS' // certificate, key or authority cannot be used
  | 'LISTEN' // the address cannot be listened on
  | 'SETTINGS'; // an agent's networks or workloads cannot be understood

/** This agent's own side cannot be set up; `hint` says what to do about it. */
export class HandshakeError extends Error {
  readonly code: HandshakeErrorCode;
  readonly hint: string | undefined;

  constructor(code: HandshakeErrorCode, message: string, options: { cause?: unknown; hint?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'HandshakeError';
    this.code = code;
    this.hint = options.hint;
  }
}
