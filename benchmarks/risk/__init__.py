"""riskd alone, in process: what a decision costs, and what a restart costs."""
