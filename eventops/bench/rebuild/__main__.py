from ..report.rebuild import main

if __name__ == "__main__":
    main()
