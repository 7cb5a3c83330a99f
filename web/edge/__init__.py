"""The data plane: evaluation, flag sets, streams, event intake, health. See README.md."""
