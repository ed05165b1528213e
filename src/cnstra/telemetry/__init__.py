"""What workers do, for those who look on: traces and metrics by OpenTelemetry, a page for
Prometheus, logs as JSON.
"""
