def write_report(folder, result):
    pass
