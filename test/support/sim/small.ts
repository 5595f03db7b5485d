/** The simulation's worlds with packets that the kernel's test build can keep. */
import { type Scenario, scenarioOf } from './scenario.js';
import type { TcpConfig } from './tcp-config.js';

/** A kept packet has at most 2048 bytes: super-segments stay, of fewer and smaller segments. */
const MOST_PAYLOAD = 1900;
const SMALL_MSS = 536;

function small(config: TcpConfig): TcpConfig {
  const mss = config.supers > 1 ? SMALL_MSS : Math.min(config.mss, 1460);
  return { ...config, mss, supers: Math.min(config.supers, Math.floor(MOST_PAYLOAD / mss)) };
}

export function smallScenario(seed: number): Scenario {
  const scenario = scenarioOf(seed);
  const { peer, outer, inner, core } = scenario;
  return { ...scenario, peer: small(peer), outer: small(outer), inner: small(inner), core: small(core) };
}
