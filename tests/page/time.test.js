import assert from "node:assert/strict";
import test, { afterEach } from "node:test";

import { bothStamps, clock, day, dayInWords, fieldMoment, fieldValue, givenMs, isMoment, monthLabel, relative, shortSpan, shortStamp, showLocal, span, stamp, zoneName } from "../../console/page/time.js";

afterEach(() => {
  showLocal(false);
  process.env.TZ = "UTC";
});

const AT = "2026-05-12T22:30:05.123+00:00";

test("in UTC, with the zone", () => {
  process.env.TZ = "Europe/Berlin";
  assert.equal(stamp(AT), "2026-05-12 22:30:05 UTC");
  assert.deepEqual([day(AT), clock(AT), zoneName(AT)], ["2026-05-12", "22:30:05", "UTC"]);
});

test("in the zone of the machine, with its distance at that moment, and on its day", () => {
  process.env.TZ = "Europe/Berlin";
  showLocal(true);
  assert.equal(stamp(AT), "2026-05-13 00:30:05 UTC+2");
  assert.equal(stamp("2026-01-01T00:00:00Z"), "2026-01-01 01:00:00 UTC+1");
  process.env.TZ = "Asia/Kolkata";
  assert.equal(stamp(AT), "2026-05-13 04:00:05 UTC+5:30");
  process.env.TZ = "America/New_York";
  assert.equal(stamp(AT), "2026-05-12 18:30:05 UTC−4");
  process.env.TZ = "UTC";
  assert.equal(stamp(AT), "2026-05-12 22:30:05 UTC");
});

test("both at once, for tips; once where they are the same", () => {
  process.env.TZ = "Europe/Berlin";
  assert.equal(bothStamps(AT), "2026-05-12 22:30:05 UTC = 2026-05-13 00:30:05 UTC+2");
  process.env.TZ = "UTC";
  assert.equal(bothStamps(AT), "2026-05-12 22:30:05 UTC");
});

test("the day only where it is not today", () => {
  assert.equal(shortStamp(AT, "2026-05-12T23:00:00Z"), "22:30:05 UTC");
  assert.equal(shortStamp(AT, "2026-05-13T00:00:00Z"), "2026-05-12 22:30:05 UTC");
  assert.equal(dayInWords(AT, "2026-12-01T00:00:00Z"), "12 May");
  assert.equal(dayInWords(AT, "2027-01-01T00:00:00Z"), "12 May 2026");
  assert.deepEqual(["2026-01-01", "2026-02-01"].map(monthLabel), ["2026", "Feb"]);
});

test("lengths and distances", () => {
  assert.deepEqual([0, 1, 61, 7200, 86400, 86400 * 45, 86400 * 62].map(span),
    ["less than a second", "1 second", "1 minute", "2 hours", "1 day", "45 days", "2 months"]);
  assert.deepEqual([0.012, 5, 300, 7300, 200000, 70000000].map(shortSpan), ["12 ms", "5 s", "5 min", "2 h", "2 d", "2 y"]);
  assert.equal(relative(AT, "2026-05-12T22:33:05.123Z"), "3 minutes ago");
  assert.equal(relative("2026-05-14T22:30:05.123Z", AT), "in 2 days");
  assert.equal(relative(AT, AT), "now");
});

test("what the database reads as a moment", () => {
  for (const text of ["2026-02-28", "2026-02-28T10:00:00Z", "2026-02-28 10:00", "2026-02-28T10:00:00.123456+02:00", "2024-02-29"]) assert.ok(isMoment(text), text);
  for (const text of ["", "yesterdayish", "2026-02-29", "2026-13-01", "2026-02-28T24:00:00Z", "2026-02-28T10:00:00Z;", "26-02-28"]) assert.ok(!isMoment(text), text);
});

test("moments of an address are read as the database reads them, and go through a field unchanged", () => {
  process.env.TZ = "Asia/Kolkata";
  for (const text of ["2026-02-28T10:00:30Z", "2026-02-28 10:00:30", "2026-02-28T12:00:30+02", "2026-02-28T12:00:30+0200", "2026-02-28T04:30:30.000-05:30"]) {
    assert.equal(givenMs(text), Date.UTC(2026, 1, 28, 10, 0, 30), text);
    assert.equal(fieldMoment(fieldValue(text)), "2026-02-28T10:00:30Z", text);
  }
  assert.equal(givenMs("2026-02-28"), Date.UTC(2026, 1, 28));
  assert.equal(fieldMoment("2026-02-28T10:00"), "2026-02-28T10:00:00Z");
});
