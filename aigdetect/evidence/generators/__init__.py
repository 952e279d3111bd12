"""Generation parameters: what programs that generate images write down about how they did it."""
