"""The state machine, pure: states, verdicts, moves and their precedence, alarms."""
