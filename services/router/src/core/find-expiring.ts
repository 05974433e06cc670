/** Which of the certificates that are served end soon: a quarter of their life is left, so a renewal is overdue. */
export interface ServedCertificate {
  readonly id: string;
  /** Host names that are served with it. */
  readonly hostnames: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

const ALARM_AT = 3 / 4;

export function findExpiring(served: readonly ServedCertificate[], nowMs: number): ServedCertificate[] {
  return served.filter(
    ({ notBeforeMs, notAfterMs }) => nowMs >= notBeforeMs + (notAfterMs - notBeforeMs) * ALARM_AT,
  );
}
