from ..compare.join import main

if __name__ == "__main__":
    main()
