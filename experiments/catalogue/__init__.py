"""What is measured, said once for all plans: metrics, demand classes, the failure-demand ratio."""
