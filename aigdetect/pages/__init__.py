"""What every HTML page of the program shares: templates that escape by themselves, and one style."""
