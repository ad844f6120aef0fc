def scale(value, low, high):
    return (value - low) / (high - low)
