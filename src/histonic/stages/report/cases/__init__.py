"""The case list: every patient with picture, truth and prediction, those that went most wrong first."""
