"""One noun a file: functions that take a Tx and speak in values, never in rows."""
