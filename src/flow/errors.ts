/** A control request that the engine can't do. It changed nothing. */
export class FlowRequestError extends Error {
  override readonly name = 'FlowRequestError';
  constructor(
    readonly code: 'SUT_FLOW_UNKNOWN' | 'SUT_FLOW_EXISTS' | 'SUT_FLOW_STATE' | 'SUT_CONFLICT',
    message: string,
  ) {
    super(message);
  }
}
