"""Words of the house: geometry, tasks, cohorts and errors, with no torch and no pixels."""
