/**
 * Errors that a person or a program acts on. Each has a stable code, listed in docs/ERRORS.md (a test
 * compares the two), and a message that says what was found, what was expected and what to do.
 */

export const ERROR_CODES = [
  'SUT_CONFIG_INVALID',
  'SUT_CONFIG_UNREADABLE',
  'SUT_USAGE',
  'SUT_PERMISSION',
  'SUT_TOOL_MISSING',
  'SUT_TOOL_FAILED',
  'SUT_INTERFACE_UNKNOWN',
  'SUT_CAPTURE_FAILED',
  'SUT_DATAPLANE_UNAVAILABLE',
  'SUT_DATAPLANE_FAILED',
  'SUT_NOT_AVAILABLE',
  'SUT_ADMIN_UNREACHABLE',
  'SUT_ADMIN_PROTOCOL',
  'SUT_ALREADY_RUNNING',
  'SUT_FLOW_UNKNOWN',
  'SUT_FLOW_EXISTS',
  'SUT_FLOW_STATE',
  'SUT_NOT_OWNER',
  'SUT_NOT_OFFERED',
  'SUT_CONFLICT',
  'SUT_LIMIT',
  'SUT_SESSION_STATE',
  'SUT_VERSION',
  'SUT_IDENTITY',
  'SUT_REQUEST_INVALID',
  'SUT_TIMEOUT',
  'SUT_SHUTTING_DOWN',
  'SUT_LINK',
  'SUT_TABLE_UNAVAILABLE',
  'SUT_TABLE_LEASE',
  'SUT_TABLE_LAYOUT',
  'SUT_LAB',
  'SUT_DEMO',
  'SUT_BENCH',
  'SUT_INTERNAL',
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

export class SutureError extends Error {
  override readonly name = 'SutureError';
  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Any thrown value as a `SutureError`; what was none becomes SUT_INTERNAL. */
export function asSutureError(error: unknown): SutureError {
  if (error instanceof SutureError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new SutureError('SUT_INTERNAL', message, { cause: error });
}

/** Exit codes of every command (2: wrong usage or config, 3: not available). */
export function exitCodeOf(error: SutureError): number {
  if (
    error.code === 'SUT_CONFIG_INVALID' ||
    error.code === 'SUT_CONFIG_UNREADABLE' ||
    error.code === 'SUT_USAGE'
  ) {
    return 2;
  }
  return error.code === 'SUT_NOT_AVAILABLE' ? 3 : 1;
}
